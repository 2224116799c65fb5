"""How messages leave: ``queueing`` rings the workers, ``delivering`` claims and sends, ``settling`` writes outcomes,
``pacing`` keeps the rate limit, ``sweeping`` and ``reconciling`` look after what was lost or is in doubt."""
