from . import engines, nodes, processes, requests, texts

__all__ = ["engines", "nodes", "processes", "requests", "texts"]
