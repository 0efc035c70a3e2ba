"""What the heads of each modality take the sources of their inputs for.

It is what the preprocessors assume and what the shipped heads were trained on; see
``docs/model-card.md`` for the data. A modality that is not here declares its own
``Preprocessor.sources``.
"""

from __future__ import annotations

from collections.abc import Mapping

from omnivec2.preprocess.source_options.source_description import SourceDescription
from omnivec2.spec import Modality

_UPRIGHT = "rows from the top, columns from the left, upright as the file's orientation says"
_ONE_INPUT = "one picture; of an animation or of several pages the first"
_FURNITURE_AXES = "x, y, z, with z up; the front along y"
_POINTS = SourceDescription(
    quantity="positions of points on the surface of one object",
    unit="any unit of length, the same for all axes",
    scale="any: clouds are centred and scaled into the unit sphere",
    axes=_FURNITURE_AXES,
    sampling_rate="at least some hundred points, spread evenly over the surface",
)

SOURCES: Mapping[Modality, Mapping[str, SourceDescription]] = {
    Modality.IMAGE: {
        "pixels": SourceDescription(
            quantity="colours red, green, blue of a photograph",
            unit="sRGB values",
            scale="8 bits a channel, 0 is black and 255 white; 16 bits are scaled to them",
            axes=_UPRIGHT,
            sampling_rate=_ONE_INPUT,
        )
    },
    Modality.VIDEO: {
        "frames": SourceDescription(
            quantity="colours red, green, blue of the frames of a surveillance clip",
            unit="sRGB values",
            scale="8 bits a channel, 0 is black and 255 white",
            axes=_UPRIGHT + "; frames in the order of their times",
            sampling_rate="{frames} frames spread evenly over the clip; trained on clips of 2 s",
        )
    },
    Modality.AUDIO: {
        "fbank": SourceDescription(
            quantity="sound pressure of one microphone, as log mel filter banks",
            unit="samples relative to full scale",
            scale="-1 to 1 in floating point, or the whole range of integers",
            axes="channels are averaged to mono; time from the start",
            sampling_rate="{sample_rate:,} Hz; other rates from 4 to 384 kHz are resampled",
        )
    },
    Modality.TEXT: {
        "input_ids": SourceDescription(
            quantity="one text in English, or two of them for heads that compare texts",
            unit="word pieces (WordPiece of BERT, uncased)",
            scale="UTF-8, or the charset that the content type declares",
            axes="in the order of reading; what is over {max_tokens} tokens is cut at the end",
        ),
        "token_type_ids": SourceDescription(
            quantity="the text that a word piece belongs to", scale="0 is the first, 1 the second"
        ),
        "attention_mask": SourceDescription(
            quantity="the word pieces that are real", scale="1 is real, 0 is padding"
        ),
    },
    Modality.DEPTH: {
        "depth": SourceDescription(
            quantity="distance from the camera's plane, of a person who acts in a room",
            unit="millimetres (mm) in integers, metres (m) in floating point numbers",
            scale="0 is no data; beyond {max_mm:,} mm depths are cut; indoor scenes of 0.5 to 4 m",
            axes="frames, rows from the top, columns from the left; the camera is upright",
            sampling_rate="{frames} frames spread evenly over one action of 1 to 4 s (30 frames/s)",
        )
    },
    Modality.POINTCLOUD: {"groups": _POINTS, "centres": _POINTS},
    Modality.TIMESERIES: {
        "values": SourceDescription(
            quantity="any quantity of which the future is asked, oldest value first",
            unit="the series' own, which is that of the forecast",
            scale="any: each series is normalised by its own mean and deviation",
            axes="one sample for each series; time increases",
            sampling_rate="even steps; trained on hourly values, with daily and weekly cycles",
        )
    },
    Modality.TABULAR: {
        "numbers": SourceDescription(
            quantity="the number columns of the schema; missing ones are 0 and marked in missing",
            unit="those of the training rows, per column",
            scale="means and deviations are in preprocess.parameters.columns",
            axes="one row each; columns are found by name",
        ),
        "missing": SourceDescription(
            quantity="the numbers that are missing", scale="1 is missing, 0 is there"
        ),
        "categories": SourceDescription(
            quantity="the category columns of the schema, as their words",
            scale="id 0 is missing, 1 unknown, 2 the schema's first category",
            axes="one row each; columns are found by name",
        ),
    },
    Modality.GRAPH: {
        "nodes": SourceDescription(
            quantity="the heavy atoms of one molecule, without its explicit hydrogens",
            unit="ids of the Open Graph Benchmark's nine atom fields",
            axes="no positions are used: coordinates of MOL and SDF files have no unit here",
        ),
        "node_ids": SourceDescription(
            quantity="identifiers of the atoms: eigenvectors of the normalised Laplacian"
        ),
        "node_mask": SourceDescription(quantity="the nodes that are real", scale="1 is real"),
        "edges": SourceDescription(
            quantity="the bonds, each once, as the indices of two atoms", scale="0 is the first"
        ),
        "edge_features": SourceDescription(
            quantity="the kinds of the bonds",
            unit="ids of the Open Graph Benchmark's three bond fields",
        ),
        "edge_mask": SourceDescription(quantity="the edges that are real", scale="1 is real"),
    },
    Modality.XRAY: {
        "pixels": SourceDescription(
            quantity="X-ray attenuation of a chest, seen from the front",
            unit="grey values as a viewer shows them",
            scale="air is dark and bone bright (MONOCHROME2); stretched to the picture's range",
            axes="rows from the head, columns from the patient's right side; not mirrored",
            sampling_rate="one picture; of several frames the first",
        )
    },
    Modality.INFRARED: {
        "pixels": SourceDescription(
            quantity="thermal radiation, around one object seen from the air",
            unit="the sensor's own values, temperatures included; only differences count",
            scale="warm is bright; percentiles {low_percentile:g} to {high_percentile:g} are kept",
            axes="rows from the top, columns from the left; seen from above, any direction is up",
            sampling_rate=_ONE_INPUT,
        )
    },
    Modality.IMU: {
        "signal": SourceDescription(
            quantity="acceleration (acc: with gravity, body_acc: without) and turning rate "
            "(body_gyro) of a phone at the waist",
            unit="g for acceleration (1 g = 9.80665 m/s²), rad/s for turning rate",
            scale="standing still, acc is about 1 g in length and body_acc 0",
            axes="3 axes of the phone; x is up while its bearer stands: acc_x is then about +1 g",
            sampling_rate="{rate_hz:g} Hz; another rate that a time column states is resampled",
        )
    },
    Modality.HYPERSPECTRAL: {
        "window": SourceDescription(
            quantity="at-sensor radiance of farmland from the air (AVIRIS, Salinas)",
            unit="the sensor's digital numbers, int16 of the published scene; not reflectance 0..1",
            scale="about 0 to 9,000; no gain, offset or no-data value is in them",
            axes="rows, columns, bands by increasing wavelength; any direction is up",
            sampling_rate="{bands} bands; AVIRIS' of 0.4 to 2.5 µm, without water's; 3.7 m a pixel",
        )
    },
}
