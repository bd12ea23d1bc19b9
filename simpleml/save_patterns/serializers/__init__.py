"""One byte format a file: cloudpickle (anything), json (plain values), numpy (arrays), parquet (frames).

Each module offers one instance and imports its library only when a value of its kind is written or read. All but
cloudpickle can be read without running code.
"""
