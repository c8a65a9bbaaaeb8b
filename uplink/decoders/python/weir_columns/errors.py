"""The one exception of this package."""


class ColumnsError(ValueError):
    """Input that is not a batch of the row schema it was decoded with.

    `name` says which rule it breaks, the same word in every decoder of the layout: truncated, left-over, varint, count, mode, key, dictionary,
    width, index, length, branch, symbol, value, mantissa, utf8, nesting, budget, schema, envelope."""

    def __init__(self, name, text):
        super().__init__(f"{name}: {text}")
        self.name = name
