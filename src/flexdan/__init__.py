"""FlexDAN: segment biomedical images when annotations are scarce."""

__version__ = "0.1.0"
