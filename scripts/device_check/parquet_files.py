"""Reads and writes Parquet with polars or pyarrow, whichever this Python has."""

from importlib.util import find_spec


class NoLibrary(Exception):
    """This Python has neither."""


def library():
    for name in ["polars", "pyarrow"]:
        if find_spec(name):
            return name
    raise NoLibrary("this Python has neither polars nor pyarrow to read and write Parquet: install one of them")


def read(file, columns):
    """The rows of a file, as dictionaries with these columns."""
    if library() == "polars":
        import polars

        return polars.read_parquet(file, columns=columns).to_dicts()
    import pyarrow.parquet

    return pyarrow.parquet.read_table(file, columns=columns).to_pylist()


def write(file, rows, types):
    """Writes rows (dictionaries) atomically; `types` maps each column to `str`, `int`, `float` or `bool`."""
    columns = {name: [row[name] for row in rows] for name in types}
    partial = file.with_name(file.name + ".partial")
    if library() == "polars":
        import polars

        kinds = {str: polars.String, int: polars.Int32, float: polars.Float64, bool: polars.Boolean}
        polars.DataFrame(columns, schema={name: kinds[kind] for name, kind in types.items()}).write_parquet(partial)
    else:
        import pyarrow
        import pyarrow.parquet

        kinds = {str: pyarrow.string(), int: pyarrow.int32(), float: pyarrow.float64(), bool: pyarrow.bool_()}
        table = pyarrow.table(columns, schema=pyarrow.schema([(name, kinds[kind]) for name, kind in types.items()]))
        pyarrow.parquet.write_table(table, partial)
    partial.replace(file)
