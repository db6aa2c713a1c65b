"""Features in sharded parquet files: rows of a name and (N, F) float16, read by row group.

Source: the packed features of VL-Adapter, `fixed_size_list<float16>[2048][49]`, 4,096 rows a shard.
"""

from __future__ import annotations

import logging
import os
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from data_modules.features.by_name import FeaturesByName, _require, files_of

log = logging.getLogger(__name__)

# Decoded row groups kept by each process: at least one, whatever its size.
KEEP_BYTES = 2**28
LARGE_GROUP = 2**26


class ParquetShards(FeaturesByName):
    """Shards with one text column, the name, and one column of lists of lists of floats, the features.

    Opening reads the names alone. A row group is decoded as a whole, so that shuffled reading is fast
    only where groups are small; large ones are warned of.

    Args:
        folder: the config key is `data.features`.

    Raises:
        ValueError: a shard is damaged, its columns are others, or a name comes twice.
    """

    def __init__(self, folder: Path) -> None:
        _require("pyarrow")
        super().__init__(folder)
        self._shards = sorted(files_of(folder, ".parquet"))
        self._files: dict[int, Any] = {}
        self._groups: OrderedDict[tuple[int, int], np.ndarray] = OrderedDict()
        self._owner = os.getpid()
        self._rows: dict[str, tuple[int, int, int]] = {}
        self.shape, self._columns = self._layout(self._shards[0])
        largest = max(self._index(number) for number in range(len(self._shards)))
        num_bytes = largest * self.shape[0] * self.shape[1] * 2
        if num_bytes > LARGE_GROUP:
            log.warning(
                "data.features=%s: a row group holds %d pictures (%d MiB), and each is decoded as a whole; "
                "write the files with row groups of some dozens for fast shuffled reading",
                folder,
                largest,
                num_bytes // 2**20,
            )

    def holds(self, name: str) -> bool:
        """Whether a shard has that name."""
        return name in self._rows

    def read(self, name: str) -> np.ndarray:
        """(N, F) of a name, a copy.

        Raises:
            ValueError: the shard is damaged.
        """
        shard, group, row = self._rows[name]
        return np.array(self._group(shard, group)[row])

    def __getstate__(self) -> dict[str, Any]:
        """Everything but open files and decoded groups."""
        return {**self.__dict__, "_files": {}, "_groups": OrderedDict(), "_owner": None}

    def _layout(self, path: Path) -> tuple[tuple[int, int], tuple[str, str]]:
        """(N, F), and the names of the two columns."""
        import pyarrow as pa

        schema = self._parquet(path).schema_arrow
        names = [f.name for f in schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)]
        lists = [
            f
            for f in schema
            if pa.types.is_fixed_size_list(f.type) and _is_rows_of_floats(pa, f.type.value_type)
        ]
        if len(names) != 1 or len(lists) != 1:
            raise ValueError(
                f"{path} has the columns {', '.join(f'{f.name}: {f.type}' for f in schema)}; one text column "
                "and one of fixed_size_list<fixed_size_list<float16>> are needed"
            )
        kind = lists[0].type
        return (kind.list_size, kind.value_type.list_size), (names[0], lists[0].name)

    def _index(self, number: int) -> int:
        """Notes the rows of a shard; gives its largest row group's number of rows."""
        path = self._shards[number]
        shape, columns = self._layout(path)
        if (shape, columns) != (self.shape, self._columns):
            raise ValueError(
                f"{path} holds {columns} {shape}, {self._shards[0]} {self._columns} {self.shape}"
            )
        file, largest = self._file(number), 0
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=[columns[0]], use_threads=False)
            for row, name in enumerate(table.column(0).to_pylist()):
                if name in self._rows:
                    raise ValueError(f"{path}: {name!r} comes twice in data.features={self.folder}")
                self._rows[name] = (number, group, row)
            largest = max(largest, table.num_rows)
        return largest

    def _group(self, shard: int, group: int) -> np.ndarray:
        """(rows, N, F) of a row group; the ones last used are kept."""
        self._start_afresh_in_a_worker()
        if (shard, group) in self._groups:
            self._groups.move_to_end((shard, group))
            return self._groups[shard, group]
        try:
            table = self._file(shard).read_row_group(group, columns=[self._columns[1]], use_threads=False)
            column = table.column(0).combine_chunks()
            if column.null_count:
                raise ValueError("rows without features")
            values = column.flatten().flatten().to_numpy(zero_copy_only=False)
        except Exception as error:  # noqa: BLE001 - readers of damaged files raise all sorts of errors
            raise ValueError(f"{self._shards[shard]} is damaged: {type(error).__name__}: {error}") from None
        array = values.reshape(-1, *self.shape)
        self._groups[shard, group] = array
        while len(self._groups) > 1 and sum(a.nbytes for a in self._groups.values()) > KEEP_BYTES:
            self._groups.popitem(last=False)
        return array

    def _file(self, shard: int) -> Any:
        self._start_afresh_in_a_worker()
        if shard not in self._files:
            self._files[shard] = self._parquet(self._shards[shard])
        return self._files[shard]

    def _start_afresh_in_a_worker(self) -> None:
        """Open files belong to the process that opened them."""
        if self._owner != os.getpid():
            self._files, self._groups, self._owner = {}, OrderedDict(), os.getpid()

    def _parquet(self, path: Path) -> Any:
        import pyarrow.parquet as pq

        try:
            return pq.ParquetFile(path, memory_map=True)
        except Exception as error:  # noqa: BLE001 - as above
            raise ValueError(f"{path} is damaged: {type(error).__name__}: {error}") from None


def _is_rows_of_floats(pa: Any, kind: Any) -> bool:
    return pa.types.is_fixed_size_list(kind) and kind.value_type in (pa.float16(), pa.float32())
