"""The Rankgres service: settings, database, ingestion, search, HTTP and the command line.

Nothing here imports torch, onnxruntime, transformers or anything of ``workers``.
"""

from importlib.metadata import version

__version__ = version("rankgres")
