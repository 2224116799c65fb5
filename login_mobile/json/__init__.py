"""The JSON endpoints; ``docs/openapi.yaml`` describes them."""
