#!/usr/bin/env python3
"""Writes the seed corpora of the fuzz targets: fuzz/make_corpus.py

Inputs that once failed are `regressions/<target>/*` and are copied as they are. Needs Pillow.
The committed corpus is what this wrote; another version of Pillow may write other bytes.
"""

import io
import json
import shutil
import struct
from pathlib import Path

from PIL import Image

HERE = Path(__file__).parent
GOLDEN = HERE.parent / "golden/checkpoints"


def save(target: str, name: str, data: bytes | str) -> None:
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data.encode() if isinstance(data, str) else data)


def tensors(*entries: tuple[str, str, list[int]]) -> tuple[str, bytes]:
    """Header and data of (name, dtype, shape) entries."""
    sizes = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "U8": 1}
    header, data = {}, b""
    for name, dtype, shape in entries:
        size = sizes[dtype]
        for length in shape:
            size *= length
        header[name] = {
            "dtype": dtype,
            "shape": shape,
            "data_offsets": [len(data), len(data) + size],
        }
        data += bytes(range(size))
    return json.dumps(header, separators=(",", ":")), data


def answer_template() -> None:
    seeds = {
        "slots": ("threshold=0.9", "Answer: {slot:8}"),
        "typed": ("wino=0.6,0.9", "Top left: {slot:3}; the circle is {choice:red|blue}."),
        "choices": ("klass=0.01,2,0.9", "{choice}", "A", "B", "yes and no"),
        "braces": ("prophet=7.5,5,2.5", "{{literal}} {slot:1}"),
        "mask": ("factor=1", "<|mdm_mask|>{slot:2}"),
        "unbalanced": ("eb=-1", "{slot:0}{choice:}{slot:99999999999999999999}{"),
    }
    for name, texts in seeds.items():
        save("answer_template", name, "\x1e".join(texts))


def checkpoint() -> None:
    indexed, length_added = 1, 2

    def shard(header: str, data: bytes) -> bytes:
        return header.encode() + b"\n-\n" + data

    def files(flags: int, *parts: bytes) -> bytes:
        return bytes([flags]) + b"\n=\n".join(parts)

    one = tensors(("model.norm.weight", "F32", [4]))
    header, data = tensors(
        ("embed", "BF16", [3, 2]), ("head", "F16", [2, 2]), ("scale", "F32", []), ("mask", "U8", [3])
    )
    save("checkpoint", "single", files(length_added, shard(header, data)))
    raw = struct.pack("<Q", len(one[0])) + one[0].encode() + one[1]
    save("checkpoint", "raw", files(0, raw))
    save("checkpoint", "truncated", files(0, raw[:-1]))
    save("checkpoint", "huge_header", files(0, struct.pack("<Q", 1 << 62) + b"{}"))
    save("checkpoint", "empty", files(0, b""))
    save("checkpoint", "no_tensors", files(length_added, b'{"__metadata__":{"format":"pt"}}'))
    save("checkpoint", "zero_rows", files(length_added, shard(*tensors(("z", "F32", [0, 9])))))
    wide = '{"z":{"dtype":"F32","shape":[0,18446744073709551615],"data_offsets":[0,0]}}'
    save("checkpoint", "zero_rows_of_endless_width", files(length_added, wide.encode()))
    product = '{"z":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}'
    save("checkpoint", "overflowing_shape", files(length_added, product.encode()))
    hole = one[0].replace("[0,16]", "[16,32]")
    save("checkpoint", "hole", files(length_added, shard(hole, bytes(32))))
    backwards = one[0].replace("[0,16]", "[16,0]")
    save("checkpoint", "backwards", files(length_added, shard(backwards, bytes(32))))
    twice = '{"a":{"dtype":"F16","shape":[1],"data_offsets":[0,2]},"a":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}}'
    save("checkpoint", "listed_twice", files(length_added, shard(twice, bytes(2))))
    save("checkpoint", "unused_dtype", files(length_added, shard(*tensors(("d", "F64", [2])))))

    def index(**placed: str) -> bytes:
        return json.dumps({"metadata": {"total_size": 1}, "weight_map": placed}).encode()

    a = shard(*tensors(("x", "F32", [2, 2])))
    b = shard(*tensors(("y", "BF16", [3]), ("x", "F32", [1])))
    both = indexed | length_added
    names = {"x": "a.safetensors", "y": "b.safetensors"}
    save("checkpoint", "two_shards", files(both, index(**names), a, b))
    save("checkpoint", "shard_missing", files(both, index(**names), a))
    save("checkpoint", "tensor_missing", files(both, index(x="a.safetensors", z="a.safetensors"), a))
    save("checkpoint", "outside", files(both, index(x="../a.safetensors"), a))
    save("checkpoint", "own_index", files(both, index(x="model.safetensors.index.json"), a))
    save("checkpoint", "long_name", files(both, index(x="a" * 300), a))
    save("checkpoint", "no_shards", files(both, index()))
    save("checkpoint", "index_is_a_list", files(both, b"[]", a))


def config() -> None:
    model = json.loads((GOLDEN / "llada-v-tiny-a/config.json").read_text())
    save("config", "model", json.dumps(model))
    save("config", "tower", (GOLDEN / "siglip2-tiny-patch14-84/config.json").read_bytes())
    for name, change in {
        "range": {"image_grid_pinpoints": "(1x1),...,(6x6)"},
        "wide_range": {"image_grid_pinpoints": "(0x0),...,(4294967295x4294967295)"},
        "python_pairs": {"image_grid_pinpoints": "[(384, 768), (768, 384)]"},
        "grouped_heads": {"num_key_value_heads": 2, "image_aspect_ratio": "pad"},
        "odd_heads": {"hidden_size": 99, "num_attention_heads": 3},
        "large": {"hidden_size": 1_000_000, "vocab_size": 1_000_001},
        "tiny_epsilon": {"rms_norm_eps": 1e-60, "rope_theta": 1e60},
        "scaled_rope": {"rope_scaling": {"type": "linear", "factor": 2.0}},
        "no_views": {"image_aspect_ratio": "anyres_max_0"},
    }.items():
        keys = {"image_grid_pinpoints", "transformers_version", "mm_tunable_parts"}
        small = {key: value for key, value in model.items() if key not in keys}
        save("config", name, json.dumps(small | change))
    vision = {"hidden_size": 1152, "image_size": 384, "patch_size": 14, "num_attention_heads": 16}
    save("config", "nested_tower", json.dumps({"vision_config": vision, "text_config": {}}))
    save("config", "bare_tower", "{}")
    save("config", "generation", json.dumps({
        "steps": 32, "gen_length": 64, "block_length": 32, "temperature": 0.5,
        "stop": ["<|eot_id|>"], "system_prompt": "", "bos_token_id": 560,
    }))
    save("config", "negative_temperature", '{"temperature": -0.0, "steps": 1e3}')
    save("config", "deep", "[" * 200 + "]" * 200)
    save("config", "not_json", '{"architectures": ["\\ud800"]')


def image() -> None:
    picture = Image.new("RGB", (23, 17))
    picture.putdata([(x * 11, y * 15, (x * y) % 256) for y in range(17) for x in range(23)])

    def tiling(sizes: int, modes: int, canvases: int, width: int, height: int) -> bytes:
        return bytes([sizes, modes, canvases]) + width.to_bytes(3, "big") + height.to_bytes(3, "big")

    plain = tiling(0x23, 8 + 32, 0x05, 640, 480)

    def add(name: str, picture: Image.Image, kind: str, head: bytes = plain, **options) -> bytes:
        file = io.BytesIO()
        picture.save(file, kind, **options)
        save("image", name, head + file.getvalue())
        return file.getvalue()

    png = add("rgb_png", picture, "PNG")
    for mode in ["L", "LA", "P", "RGBA", "1"]:
        add(f"{mode.lower()}_png", picture.convert(mode), "PNG")
    add("grey16_png", picture.convert("L").convert("I").point(lambda v: v * 257).convert("I;16"), "PNG")
    exif = Image.Exif()
    exif[0x0112] = 6
    jpeg = add("turned_jpeg", picture, "JPEG", quality=80, exif=exif)
    add("turned_png", picture, "PNG", exif=exif)
    add("grey_jpeg", picture.convert("L"), "JPEG")
    add("cmyk_jpeg", picture.convert("CMYK"), "JPEG")
    add("progressive_jpeg", picture, "JPEG", progressive=True)
    add("webp", picture, "WEBP", quality=50)
    add("lossless_webp", picture.convert("RGBA"), "WEBP", lossless=True)
    add("gif", picture.convert("P"), "GIF")
    frames = [picture.convert("P").rotate(90 * i) for i in range(3)]
    add("animated_gif", frames[0], "GIF", save_all=True, append_images=frames[1:])
    for mode in ["RGB", "L", "P", "1"]:
        add(f"{mode.lower()}_bmp", picture.convert(mode), "BMP")
    add("too_wide", Image.new("L", (301, 1)), "PNG")
    add("too_many_pixels", Image.new("1", (290, 190)), "PNG")
    save("image", "cut_png", plain + png[: len(png) // 2])
    save("image", "cut_jpeg", plain + jpeg[: len(jpeg) * 3 // 4])
    bomb = bytearray(png)
    bomb[16:24] = struct.pack(">II", 1 << 31, 1 << 31)
    save("image", "bomb_png", plain + bytes(bomb))
    bomb = bytearray((HERE / "corpus/image/gif").read_bytes()[len(plain):])
    bomb[6:10] = b"\xff\xff\xff\xff"
    save("image", "bomb_gif", plain + bytes(bomb))
    save("image", "empty", plain)

    # One small picture through every mode, with sizes that are long, tiny or nothing.
    small = io.BytesIO()
    Image.new("RGB", (40, 3), (9, 200, 77)).save(small, "PNG")
    sizes = [(1, 1), (16_777_215, 1), (1, 16_777_215), (0, 5), (2788, 20), (16_777_215, 16_777_213)]
    for i in range(40):
        head = tiling((i * 37 + 16) % 256, i % 5 + i // 5 % 8 * 8, i * 53 % 256, *sizes[i % len(sizes)])
        save("image", f"tiling_{i:02}", head + small.getvalue())


def prompt() -> None:
    template, system, think, history = 1, 2, 4, 8
    next_text = "\x1e"

    def add(name: str, flags: int, images: int, *texts: str) -> None:
        save("prompt", name, bytes([flags | images << 6]) + next_text.join(texts).encode())

    add("question", system | think, 1, "What is shown?")
    add("history", history, 2, "What is it?", " A cat. ", "Sure?\n")
    add("own_system", 0, 0, "Be kind.", "Hello")
    add("mask", system, 1, "<|mdm_mask|>")
    add("turns", 0, 0, "a<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nb")
    add("image_token", 0, 3, "<image> and <image>")
    add("private", system, 1, "\U000f0000\U000f0001\U000f0002 \U000ffffd private \ue000")
    add("halves", history, 0, "<|mdm_", "mask|>", "<|eot", "_id|>")
    add("names", 0, 1, "[CLS][gMASK]<role></role><|startoftext|><|endoftext|><|number_start|>")
    add("unicode", history | think, 1, "Ünïcödé 漢字 🦀\u200d🦀 e\u0301 \u0000\u202e\ufeff", "\u3000 x \u00a0")
    add("spaces", system, 1, "  \r\n\t ")
    add("nothing", 0, 0, "")
    save("prompt", "not_utf8", bytes([0]) + b"\xff\xfe<|mdm_\x80mask|>\xc3")
    config = json.loads((GOLDEN / "llada-v-tiny-a/tokenizer_config.json").read_text())
    add("golden_template", template, 1, config["chat_template"], "What is shown?")
    templates = {
        "forgets": "{{ bos_token }}",
        "repeats": "{{ messages[0].content }}{{ messages[0].content }}",
        "reverses": "{% for m in messages | reverse %}{{ m.content | upper }}{% endfor %}",
        "spells_tokens": "{{ bos_token }}<|mdm_mask|>{{ messages[-1]['content'].strip() }}<|eot_id|>",
        "recursion": "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
        "endless_work": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "endless_text": "{% for a in range(99999) %}{{ 'x' * 1000 }}{% endfor %}",
        "endless_string": "{{ 'x' * 9999999999 }}",
        "refuses": "{{ raise_exception('roles must alternate') }}",
        "broken": "{% for %}",
        "deep": "{{ " + "(" * 300 + "1" + ")" * 300 + " }}",
        "methods": "{{ messages[0].content.split('a')[0].replace('b', 'c') | tojson }}",
        "slices": "{% set m = messages[1:] %}{{ m | length }}{{ m[0] is defined }}{{ 7 // 0 }}",
        "includes": "{% include 'chat_template' %}{% extends 'chat_template' %}",
    }
    for name, source in templates.items():
        add(f"template_{name}", template | history, 1, source, "abcba", "hello", "<|mdm_mask|>")


def regressions() -> None:
    for path in sorted((HERE / "regressions").glob("*/*")):
        save(path.parent.name, f"regression_{path.name}", path.read_bytes())


if __name__ == "__main__":
    shutil.rmtree(HERE / "corpus", ignore_errors=True)
    for make in [answer_template, checkpoint, config, image, prompt, regressions]:
        make()
    total = sum(path.stat().st_size for path in (HERE / "corpus").glob("*/*"))
    print(f"{total} bytes")
