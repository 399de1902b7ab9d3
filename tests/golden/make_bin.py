#!/usr/bin/env python3
"""Write the tensors of a safetensors folder as PyTorch `.bin`, the zip file that torch.save writes, without torch.

    make_bin.py HF_DIR OUT [--shards 1]

Streams; the files are loaded by torch.load(weights_only=True) of 2.13.
"""
import argparse
import collections
import io
import json
import math
import pathlib
import pickle
import shutil
import struct
import sys
import types
import zipfile

STORAGE = {"F16": "HalfStorage", "BF16": "BFloat16Storage", "F32": "FloatStorage", "I64": "LongStorage", "U8": "ByteStorage"}
WIDTH = {"F16": 2, "BF16": 2, "F32": 4, "I64": 8, "U8": 1}


def fake_torch():
    """Modules whose names go into the pickle."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in STORAGE.values():
        setattr(torch, name, type(name, (), {"__module__": "torch"}))

    def _rebuild_tensor_v2():
        pass

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2, torch._utils = _rebuild_tensor_v2, utils
    return {"torch": torch, "torch._utils": utils}


class Stored:
    def __init__(self, key, dtype, numel):
        self.key, self.dtype, self.numel = key, dtype, numel


class Tensor:
    def __init__(self, storage, shape):
        self.storage, self.shape = storage, tuple(shape)

    def __reduce__(self):
        strides, step = [], 1
        for size in reversed(self.shape):
            strides.insert(0, step)
            step *= size
        arguments = (self.storage, 0, self.shape, tuple(strides), False, collections.OrderedDict())
        return sys.modules["torch._utils"]._rebuild_tensor_v2, arguments


class Pickler(pickle.Pickler):
    def persistent_id(self, item):
        if isinstance(item, Stored):
            return "storage", getattr(sys.modules["torch"], STORAGE[item.dtype]), item.key, "cpu", item.numel
        return None


def pickle_state(tensors):
    """data.pkl for {name: (dtype, shape)}; storage keys are the places in the dictionary."""
    state = collections.OrderedDict()
    for key, (name, (dtype, shape)) in enumerate(tensors.items()):
        state[name] = Tensor(Stored(str(key), dtype, math.prod(shape)), shape)
    state._metadata = collections.OrderedDict({"": {"version": 1}})
    kept = {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
    sys.modules.update(fake_torch())
    try:
        out = io.BytesIO()
        Pickler(out, protocol=2).dump(state)
        return out.getvalue()
    finally:
        for name, module in kept.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def write_bin(path, tensors, data):
    """tensors: {name: (dtype, shape)}; data(name) gives chunks of bytes."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle_state(tensors))
        archive.writestr("archive/byteorder", b"little")
        for key, name in enumerate(tensors):
            dtype, shape = tensors[name]
            info = zipfile.ZipInfo(f"archive/data/{key}")
            info.file_size = math.prod(shape) * WIDTH[dtype]
            with archive.open(info, "w") as member:
                for chunk in data(name):
                    member.write(chunk)
        archive.writestr("archive/version", b"3\n")


def read_header(file):
    with open(file, "rb") as stream:
        length = struct.unpack("<Q", stream.read(8))[0]
        header = json.loads(stream.read(length))
    header.pop("__metadata__", None)
    return {name: (item["dtype"], item["shape"], 8 + length + item["data_offsets"][0]) for name, item in header.items()}


def main():
    p = argparse.ArgumentParser()
    p.add_argument("hf_dir", type=pathlib.Path)
    p.add_argument("out", type=pathlib.Path)
    p.add_argument("--shards", type=int, default=1)
    a = p.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    tensors, home = {}, {}
    for file in sorted(a.hf_dir.glob("*.safetensors")):
        for name, described in read_header(file).items():
            tensors[name], home[name] = described, file

    def data(name):
        dtype, shape, offset = tensors[name]
        left = math.prod(shape) * WIDTH[dtype]
        with open(home[name], "rb") as stream:
            stream.seek(offset)
            while left:
                chunk = stream.read(min(left, 1 << 22))
                left -= len(chunk)
                yield chunk

    names, weight_map = list(tensors), {}
    per = -(-len(names) // a.shards)
    for shard in range(a.shards):
        file = "pytorch_model.bin" if a.shards == 1 else f"pytorch_model-{shard + 1:05d}-of-{a.shards:05d}.bin"
        part = names[shard * per : (shard + 1) * per]
        write_bin(a.out / file, {name: tensors[name][:2] for name in part}, data)
        weight_map.update(dict.fromkeys(part, file))
    if a.shards > 1:
        (a.out / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))
    for file in a.hf_dir.glob("*.json"):
        if not file.name.endswith(".index.json"):
            shutil.copy(file, a.out)


if __name__ == "__main__":
    main()
