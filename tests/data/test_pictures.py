"""Folders of pictures: modes, depth, transparency, orientation, and what is no picture."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from vdp.data import datasets
from vdp.data.core import Request
from vdp.data.sources import _pictures
from vdp.errors import UserError
from vdp.settings import Data

GREY = np.arange(20, dtype=np.uint8).reshape(4, 5) * 9


def load(folder, **fields):
    return datasets.load(Data(name=f"folder:{folder}", **fields))


def save(folder, *images, suffix="png", **options):
    """Ten copies of each image, so that a test split can be held out."""
    for i, image in enumerate(images):
        for copy in range(10):
            image.save(folder / f"{copy}-{i}.{suffix}", **options)


def first(dataset):
    return dataset.splits["train"].images[0]


def png(width, height, depth, colour, rows):
    """A PNG of any depth, also those that Pillow cannot write."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    content = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "LA", "RGBA", "grey palette"])
def test_grey_pictures_of_every_mode_have_one_channel(tmp_path, mode):
    image = Image.fromarray(GREY)
    if mode == "grey palette":
        image.putpalette([255 - index // 3 for index in range(768)])
    else:
        image = image.convert(mode)
    save(tmp_path, image)
    expected = 255 - GREY if mode == "grey palette" else GREY
    assert np.array_equal(first(load(tmp_path)), expected[..., None])


def test_one_colour_makes_all_of_them_colour(tmp_path):
    save(tmp_path, Image.fromarray(GREY), Image.new("RGB", (5, 4), (1, 2, 3)))
    images = load(tmp_path).splits["train"].images
    assert images.shape[1:] == (4, 5, 3)
    assert np.array_equal(images[0], np.repeat(GREY[..., None], 3, axis=2))


@pytest.mark.parametrize(
    ("mode", "colour", "suffix", "expected"),
    [
        ("CMYK", (0, 255, 255, 0), "tif", (255, 0, 0)),
        ("YCbCr", (255, 128, 128), "tif", (255, 255, 255)),
        ("LAB", (255, 128, 128), "tif", (255, 255, 255)),
    ],
)
def test_other_colour_spaces_become_rgb(tmp_path, mode, colour, suffix, expected):
    for copy in range(10):
        Image.new(mode, (2, 2), colour).save(tmp_path / f"{copy}.{suffix}")
    Image.new("RGB", (2, 2), (9, 50, 9)).save(tmp_path / f"x.{suffix}")
    assert np.abs(first(load(tmp_path))[0, 0].astype(int) - expected).max() <= 2


def test_transparency_shows_the_background(tmp_path):
    ink = np.zeros((4, 5, 4), np.uint8)
    ink[1] = (0, 0, 0, 255)
    ink[2] = (200, 100, 50, 51)
    save(tmp_path, Image.fromarray(ink))
    for background, ground in (("white", 255), ("black", 0)):
        image = first(load(tmp_path, background=background))
        expected = [[ground] * 3, [0] * 3, 0.2 * np.array([200, 100, 50]) + 0.8 * ground]
        assert np.abs(image[:3, 0] - np.array(expected)).max() <= 1
    ink[..., :3] = 255  # white, drawn in alpha
    save(tmp_path, Image.fromarray(ink))
    with pytest.raises(UserError, match=r"nothing of .*data\.background=black"):
        load(tmp_path)
    assert first(load(tmp_path, background="black"))[:3, 0, 0].tolist() == [0, 255, 51]


@pytest.mark.parametrize(
    ("dtype", "suffix"), [(np.uint16, "png"), (np.uint16, "tif"), (np.int32, "tif")]
)
def test_greys_of_16_bits_are_scaled_on_request_and_never_clipped(tmp_path, dtype, suffix):
    deep = np.linspace(0, 65_535, 20).reshape(4, 5).astype(dtype)
    save(tmp_path, Image.fromarray(deep), suffix=suffix)
    with pytest.raises(UserError, match=r"65,536 levels.*data\.levels=256"):
        load(tmp_path)
    assert np.array_equal(first(load(tmp_path, levels=256))[..., 0], np.rint(deep / 257))
    save(tmp_path, Image.fromarray(GREY).resize((5, 4)), suffix="bmp")
    with pytest.raises(UserError, match="mixes images of"):
        load(tmp_path)


def test_fractions_in_tiff_are_shares_of_the_brightest(tmp_path):
    save(tmp_path, Image.fromarray((GREY / 255).astype(np.float32)), suffix="tif")
    assert np.array_equal(first(load(tmp_path, levels=256))[..., 0], GREY)


def test_colours_of_16_bits_are_not_cut_unasked(tmp_path):
    row = np.array([0x1234, 0x5678, 0x9ABC] * 2, ">u2").tobytes()
    for copy in range(10):
        (tmp_path / f"{copy}.png").write_bytes(png(2, 2, 16, 2, [row, row]))
    with pytest.raises(UserError, match=r"16 bits; config\.data\.levels=256"):
        load(tmp_path)
    assert first(load(tmp_path, levels=256))[0, 0].tolist() == [0x12, 0x56, 0x9A]


def test_pictures_below_8_bits_have_the_levels_they_have(tmp_path):
    for copy in range(10):
        (tmp_path / f"{copy}.png").write_bytes(png(4, 1, 2, 0, [bytes([0b00011011])]))
    dataset = load(tmp_path)
    assert dataset.facts.levels == 4
    assert first(dataset)[0, :, 0].tolist() == [0, 1, 2, 3]
    save(tmp_path, Image.fromarray(np.array([[True, False, True, True]])))
    save(tmp_path, Image.fromarray(np.array([[0, 255, 0, 0]], np.uint8)), suffix="bmp")
    dataset = load(tmp_path)  # together they are shares of 255
    assert dataset.facts.levels == 256
    assert {tuple(image.ravel()) for image in dataset.splits["train"].images} == {
        (0, 85, 170, 255), (255, 0, 255, 255), (0, 255, 0, 0),
    }  # fmt: skip


def tiff(width, bits, photometric, row):
    """A TIFF of one row of greys, as scanners and microscopes write them."""
    tags = {256: width, 257: 1, 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1, 278: 1,
            279: len(row)}  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    start = 8 + len(row) + len(row) % 2
    head = b"II*\0" + struct.pack("<I", start) + row.ljust(start - 8, b"\0")
    return head + struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize(
    ("bits", "row", "greys"),
    [
        (2, b"\x1b", [0, 1, 2, 3]),
        (4, b"\x0f\x5a", [0, 15, 5, 10]),
        (16, struct.pack("<4H", 0, 65_535, 1, 700), [0, 65_535, 1, 700]),
    ],
)
def test_greys_of_a_tiff_have_the_depth_and_sign_that_it_says(tmp_path, bits, row, greys, inverted):
    for copy in range(10):
        content = tiff(4, bits, photometric=0 if inverted else 1, row=row)
        (tmp_path / f"{copy}.tif").write_bytes(content)
    found = _pictures.read(tmp_path / "0.tif", Request(dir=None))
    assert found.levels == 2**bits
    stored = np.array([greys])
    expected = found.levels - 1 - stored if inverted else stored
    np.testing.assert_array_equal(found.pixels, expected)


def test_greys_of_12_bits_are_refused(tmp_path):
    (tmp_path / "0.tif").write_bytes(tiff(2, 12, photometric=1, row=b"\x00\x0f\xff"))
    with pytest.raises(UserError, match=r"its greys have 12 bits.*save it with 8 or 16"):
        _pictures.read(tmp_path / "0.tif", Request(dir=None))


@pytest.mark.parametrize("kind", ["one bit", "black and white"])
def test_two_values_are_two_levels(tmp_path, kind):
    drawn = np.array([[1, 0], [0, 1]], np.uint8)
    save(tmp_path, Image.fromarray(drawn.astype(bool) if kind == "one bit" else drawn * 255))
    dataset = load(tmp_path)
    assert dataset.facts.levels == 2
    assert np.array_equal(first(dataset)[..., 0], drawn)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_raw_pictures_are_turned_as_their_exif_says(tmp_path, kind):
    """Which Pillow could map into memory at the wrong width."""
    grey = np.arange(24, dtype=kind).reshape(4, 6) * (9 if kind == np.uint8 else 2500)
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise
    for number in range(12):
        Image.fromarray(grey).save(tmp_path / f"{number}.tif", exif=exif)
    images = load(tmp_path, levels=256).splits["train"].images
    scaled = grey if kind == np.uint8 else np.rint(grey / 257).astype(np.uint8)
    np.testing.assert_array_equal(images[0, ..., 0], np.rot90(scaled, -1))


def test_pictures_are_turned_as_their_exif_says(tmp_path):
    image = Image.fromarray(GREY)
    exif = image.getexif()
    exif[0x0112] = 6  # the camera was held upright
    save(tmp_path, image, exif=exif)
    assert np.array_equal(first(load(tmp_path))[..., 0], np.rot90(GREY, -1))


def test_sizes_are_counted_and_resized_on_request(tmp_path):
    save(tmp_path, Image.fromarray(GREY))
    Image.fromarray(GREY[:, :3]).save(tmp_path / "narrow.png")
    with pytest.raises(UserError, match=r"HxW: 4x5 of 10, 4x3 of 1.*data\.resize=HxW"):
        load(tmp_path)
    dataset = load(tmp_path, resize="4x3")
    assert dataset.facts.shape == (4, 3, 1)
    assert np.array_equal(first(dataset)[..., 0], GREY[:, 1:4])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (png(60_000, 60_000, 8, 0, [b""]), "3600000000 pixels"),
        (png(4, 4, 8, 0, [b""])[:60], "cannot be used"),
        (b"", "cannot be used"),
    ],
)
def test_files_that_are_no_pictures_are_one_sentence(tmp_path, content, says):
    (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(UserError, match=says) as error:
        load(tmp_path)
    assert str(error.value).count("bad.png") == 1
    assert "verify" not in str(error.value)


def test_films_are_refused(tmp_path):
    frames = [Image.new("L", (2, 2), grey) for grey in (0, 200)]
    frames[0].save(tmp_path / "film.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(UserError, match="2 frames"):
        load(tmp_path)
