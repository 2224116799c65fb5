"""Benchmarks: this project beside the vendors' bare SDKs and the naive design, in one run. See docs/benchmarks.md."""
