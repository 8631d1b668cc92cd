"""What decoding processes are asked to do in tests; a process of its own imports it by name."""

import os
import signal
import time

import numpy as np

from assay_runner.decode.request import decode_media
from assay_runner.media import MediaError


def double(value):
    return 2 * value


def sleep(seconds):
    time.sleep(seconds)


def die(number):
    os.kill(os.getpid(), number)


def who():
    return os.getpid()


def hold(size):
    return len(bytearray(size))


def undecodable():
    raise MediaError("the video is broken")


def die_for_many(requests, wanted):
    os.kill(os.getpid(), signal.SIGSEGV)


def die_for_red(media, wanted):
    opened = decode_media(media, wanted)
    if opened.media[0].getpixel((0, 0)) == (255, 0, 0):
        os.kill(os.getpid(), signal.SIGSEGV)
    return opened


def numbers(count):
    whole = np.arange(count)
    return str(count), whole, whole.astype(np.float32) / np.float32(2)
