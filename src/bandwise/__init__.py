"""Music-genre classification with convolution channel separation and frequency sub-bands aggregation."""
