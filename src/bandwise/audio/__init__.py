"""From an audio file to log-mel: ``decode`` (any file to a wave) and ``frontend`` (a wave to log-mel)."""
