"""Sounds as phones, browsers, pipes and signal processing programs write them."""

from __future__ import annotations

import struct
from functools import cache

import numpy as np

from tests.cases.case import (
    TOLERANCE,
    AnyOf,
    Case,
    Factory,
    Noted,
    OtherThan,
    Refused,
    SameAs,
    Sent,
    in_base64,
    inputs,
)
from tests.support.sample_files.sounds import Waveform, encoded, written

ROUTE = "audio?tasks=events,embedding"
SECONDS, RATE = 1.6, 16_000


@cache
def alarm() -> Waveform:
    """A clock that rings four times over a little noise."""
    times = np.arange(int(SECONDS * RATE)) / RATE
    ring = sum(np.sin(2 * np.pi * hertz * times) / 3 for hertz in (880, 1320, 2210))
    beats = np.exp(-12 * (times % 0.4)) * 0.6
    noise = np.random.default_rng(8).normal(0, 0.003, len(times))
    return (ring * beats + noise).astype(np.float32)


def plain() -> bytes:
    return written(alarm())


def streamed(riff: int, data: int) -> Factory:
    """Return what makes a WAV file with the sizes that a recorder leaves."""

    def made() -> bytes:
        file = bytearray(plain())
        struct.pack_into("<I", file, 4, riff)
        struct.pack_into("<I", file, 40, data)
        return bytes(file)

    return made


def flac_from_a_pipe() -> bytes:
    """A FLAC file whose header does not know the number of samples, nor their digest."""
    file = bytearray(written(alarm(), kind="FLAC"))
    at = 8 + 13  # the number stands in the last 36 bits before the digest
    file[at] &= 0xF0
    file[at + 1 : at + 21] = bytes(20)
    return bytes(file)


def same(name: str, made: Factory, wanted: Factory = plain, tolerance: float = TOLERANCE) -> Case:
    return Case(f"audio: {name}", ROUTE, made, SameAs(wanted, tolerance))


CASES = [
    same("a WAV that ffmpeg streams", streamed(0xFFFFFFFF, 0xFFFFFFFF)),
    same("a WAV that SoX streams", streamed(0x7FFFF024, 0x7FFFF000)),
    same("a WAV of a recorder that was killed", streamed(36, 0)),
    same("a WAV without any size", streamed(0, 0)),
    same("FLAC of unknown length", flac_from_a_pipe),
    same("FLAC in Ogg", lambda: encoded(alarm(), "ogg", "flac")),
    same("a phone's M4A", lambda: encoded(alarm(), "ipod", "aac"), tolerance=0.15),
    same("a radio's AAC", lambda: encoded(alarm(), "adts", "aac"), tolerance=0.15),
    same(
        "a browser's WebM",
        lambda: Sent(encoded(alarm(), "webm", "libopus"), "audio/webm;codecs=opus"),
        tolerance=0.15,
    ),
    same(
        "Opus in WebM without a type", lambda: encoded(alarm(), "webm", "libopus"), tolerance=0.15
    ),
    same(
        "Ogg Opus by its own type",
        lambda: Sent(written(alarm(), kind="OGG", subtype="OPUS"), "audio/opus"),
        tolerance=0.15,
    ),
    same(
        "MP3 in WAV",
        lambda: encoded(alarm(), "wav", "libmp3lame"),
        lambda: encoded(alarm(), "mp3", "libmp3lame"),
        0.1,
    ),
    same(
        "floats that hold integers",
        lambda: written(np.round(alarm() * 32_767), subtype="FLOAT"),
    ),
    same(
        "a microphone that is wired the wrong way",
        lambda: written(np.stack([alarm(), -alarm()], axis=1)),
        tolerance=0.1,
    ),
    same(
        "base64 with carriage returns",
        lambda: in_base64(plain(), 76, "\r\n"),
    ),
    same(
        "the array of a pipeline",
        inputs({"array": alarm()[:8000].round(4).tolist(), "sampling_rate": RATE}),
        lambda: written(alarm()[:8000]),
    ),
    Case(
        "audio: an address instead of a sound",
        "audio/events",
        inputs("https://sounds.example.com/alarm.flac"),
        Refused(r"\b(URLs?|address(es)?|links?)\b"),
    ),
    Case(
        "audio: a microphone that was muted",
        "audio/events",
        lambda: written(np.zeros(RATE, np.float32)),
        AnyOf([Noted("empty"), Refused("silen|zero|empty")]),
    ),
    Case(
        "audio: the sound of another clock",
        ROUTE,
        lambda: written(np.sign(alarm()) * alarm() ** 2),
        OtherThan(plain),
    ),
]
