"""What the bench measures: its rows, and the engines that each row compares with this program.

A row is MODEL/WHAT/bN, N pictures at once. WHAT is `step` (one evaluation of the denoiser with guidance), `decode`,
`profile` (seconds of a step and a decoding by kind of operator) or `run`: a fresh process from its start to a picture,
which gives the rows load, first_step, picture, cold_picture and peak_memory.
"""
import re
from dataclasses import dataclass

from engines import is_measured_on, is_named, records

# Engines of every processor; engines_of leaves out those that are not measured on the one at hand.
OURS = ("ours", "ours-f32")
TORCH = ("torch", "torch-f32")
COMPILED = ("torch-compile", "torch-compile-f32")
OPENVINO = ("openvino", "openvino-f32")
OPENVINO_INT8 = ("openvino-int8", "openvino-int8-f32")
INT8 = ("ours-int8", *OPENVINO_INT8, "openvino-w8a8", "openvino-w8a8-f32")
BF16 = (*OURS, *TORCH, *OPENVINO)  # or f32
USUAL = (*OURS, *TORCH, *COMPILED, *OPENVINO)
ALL = (*USUAL, *INT8, "sdcpp", "sdcpp-q8")
WHOLE = (*OURS, "ours-cold", "ours-warm", *TORCH, *OPENVINO)  # processes from their start to a picture
DECODERS = (*BF16, *OPENVINO_INT8, "sdcpp")
# Their steps take so long that they are measured a third as often, and not once before they count.
SLOW = ("sdcpp", "sdcpp-q8")
ATTEMPTS = 2  # rounds that are measured at most, for each that shall be kept


@dataclass(frozen=True)
class Row:
    name: str
    engines: tuple
    rounds: int
    quick: int = 0  # rounds with --quick; 0: not one of its rows
    quick_engines: tuple = ()

    @property
    def model(self):
        return self.name.split("/")[0]

    @property
    def what(self):
        return self.name.split("/")[1]

    @property
    def batch(self):
        return int(self.name.rsplit("/b", 1)[1])


ROWS = (
    Row("sd15/step/b1", ALL, 9, 5, ALL),
    # torch.compile compiles the denoiser alone, and the decoder of W8A8 has int8 weights too.
    Row("sd15/decode/b1", DECODERS, 7, 3, (*BF16, "sdcpp")),
    Row("mini/step/b1", USUAL, 15, 9, BF16),
    Row("mini/decode/b1", BF16, 15, 9, BF16),
    Row("sd15/profile/b1", BF16, 1, 1, BF16),
    Row("sd15/run/b1", (*WHOLE, "sdcpp"), 3, 1, WHOLE),
    Row("sdxl/step/b1", ALL, 5, 2, (*OURS, *OPENVINO)),
    # Its denoisers are so small that none is kept packed.
    Row("mini/run/b1", BF16, 5, 2, BF16),
    Row("sdxl/decode/b1", DECODERS, 3),
    Row("sd15/step/b2", USUAL, 5),
    Row("sd15/step/b4", USUAL, 3),
    Row("sd15/decode/b4", BF16, 3),
    Row("mini/step/b2", USUAL, 15),
    Row("mini/step/b4", USUAL, 15),
    Row("mini/decode/b4", BF16, 15),
    Row("pangu3/step/b1", USUAL, 5),
    Row("pangu3/decode/b1", BF16, 3),
    Row("sdxl/step/b2", BF16, 3),
    Row("sdxl/run/b1", (*WHOLE, "sdcpp"), 1),
    # Peers have PanGu-Draw 3's network, which is SDXL's, but do not draw with its two experts. These are one file here, so
    # that the second would find what the first has packed.
    Row("pangu3/run/b1", ("ours", "ours-warm"), 1),
)
TINY = tuple(Row(f"tiny/{what}/b1", ALL, 1) for what in ("step", "decode", "profile", "run"))


def chosen_rows(pattern, quick, tiny=False):
    """pattern: a regular expression that is found in the names of the rows."""
    return [row for row in (TINY if tiny else ROWS) if re.search(pattern, row.name) and (row.quick or not quick)]


def rounds_of(row, engine, quick):
    rounds = row.quick if quick else row.rounds
    return max(1, rounds // 3) if engine in SLOW else rounds


def engines_of(row, only, quick, flags=None):
    """only: names of engines, or nothing for all. Ours is always among them, for ratios need it. flags: of the processor;
    None: this one's."""
    flags = records.processor_flags() if flags is None else flags
    engines = row.quick_engines if quick else row.engines
    return [engine for engine in engines
            if is_measured_on(engine, flags) and (engine == "ours" or not only or is_named(engine, only))]
