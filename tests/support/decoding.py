"""What decoding processes are asked to do in tests; a process of its own imports it by name."""

import os
import time

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
