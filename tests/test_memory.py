"""Amounts of memory as text, and folders whose files are memory."""

from __future__ import annotations

import pytest

from recon_anomaly.errors import InputError
from recon_anomaly.memory import bytes_of, container_room, filesystem_of, is_memory

MOUNTS = "\n".join(
    [
        "/dev/sda1 / ext4 rw,relatime 0 0",
        "proc /proc proc rw 0 0",
        "tmpfs /mnt-of-a-test/shm tmpfs rw,nosuid 0 0",
        "/dev/sdb1 /mnt-of-a-test/shm/disk xfs rw 0 0",
        r"tmpfs /a\040b\134c tmpfs rw 0 0",
        "tmpfs /hidden tmpfs rw 0 0",
        "/dev/sdc1 /hidden ext4 rw 0 0",
        "ramfs /ram ramfs rw 0 0",
        "broken",
    ]
)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("65536", 65536),
        ("12B", 12),
        ("3kB", 3000),
        ("3KB", 3000),
        ("500MB", 500_000_000),
        ("2GB", 2_000_000_000),
        ("2 GB", 2_000_000_000),
        ("0.3GB", 300_000_000),
        ("1.1TB", 1_100_000_000_000),
        ("1KiB", 1024),
        ("64MiB", 67_108_864),
        ("1.5GiB", 1_610_612_736),
        ("2TiB", 2_199_023_255_552),
    ],
)
def test_amounts_are_read(text, size):
    """Units of a thousand and of 1024 are told apart, and fractions are exact."""
    assert bytes_of(text) == size


@pytest.mark.parametrize(
    "text",
    [
        *("", "GB", "2gb", "2Gb", "2G", "2  GB", "2GB ", "2 GB of it", "-1GB", "+1GB"),
        *("1e9", "1_000", "inf", "1,5GB", ".5GB", "\N{ARABIC-INDIC DIGIT THREE}GB"),
    ],
)
def test_other_texts_are_refused(text):
    """What is no plain number and known unit is an error that names both."""
    with pytest.raises(InputError, match=r"is no amount of memory; .*GiB.*such as 500MB"):
        bytes_of(text)


@pytest.mark.parametrize("text", ["0.5", "1.5B", "1.0005kB"])
def test_parts_of_a_byte_are_refused(text):
    """Nothing is rounded."""
    with pytest.raises(InputError, match="no whole number of bytes"):
        bytes_of(text)


@pytest.mark.parametrize(
    ("folder", "found"),
    [
        ("/", "ext4"),
        ("/elsewhere/x", "ext4"),
        ("/mnt-of-a-test/shm/x", "tmpfs"),
        ("/mnt-of-a-test/shm/disk/x", "xfs"),
        ("/mnt-of-a-test/shmother", "ext4"),
        ("/a b\\c/d", "tmpfs"),
        ("/hidden", "ext4"),
        ("/ram", "ramfs"),
    ],
)
def test_the_innermost_and_last_mount_counts(folder, found):
    """A folder belongs to the longest mount point above it, and there to what was mounted last."""
    assert filesystem_of(folder, MOUNTS) == found
    assert is_memory(folder, MOUNTS) == (found in ("tmpfs", "ramfs"))


def test_links_are_followed(tmp_path):
    """A link from a disk into a tmpfs is on the tmpfs."""
    (tmp_path / "shm").mkdir()
    try:
        (tmp_path / "link").symlink_to(tmp_path / "shm", target_is_directory=True)
    except OSError:
        pytest.skip("this system lets nobody make symbolic links")
    mounts = f"/dev/sda1 / ext4 rw 0 0\ntmpfs {(tmp_path / 'shm').resolve()} tmpfs rw 0 0"
    assert is_memory(tmp_path / "link", mounts)


def test_where_nothing_is_known_no_folder_is_memory(tmp_path, monkeypatch):
    """Without a list of mounts, as on other systems, there is no answer, and no error."""
    monkeypatch.setattr("recon_anomaly.memory.Path.read_text", _fails)
    assert filesystem_of(tmp_path) is None
    assert not is_memory(tmp_path)


def _fails(*_, **__):
    raise FileNotFoundError


def test_the_mounts_of_this_system_are_read():
    """On Linux /proc itself lies on the file system of that name."""
    if filesystem_of("/") is None:
        pytest.skip("this system has no /proc/mounts")
    assert filesystem_of("/proc/self") == "proc"


@pytest.mark.parametrize(
    ("limit", "current", "inactive", "expected"),
    [("1000", "700", "200", 500), ("1000", "1200", "0", 0), ("max", "700", "200", None)],
)
def test_a_containers_room_is_its_limit_less_what_cannot_be_taken_back(
    limit, current, inactive, expected, tmp_path
):
    """Limit less use, file pages that are not in use left out, and never below nothing."""
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.current").write_text(f"{current}\n")
    (tmp_path / "memory.stat").write_text(f"anon 5\ninactive_file {inactive}\nactive_file 7\n")
    assert container_room(tmp_path) == expected


def test_outside_of_a_container_nothing_limits(tmp_path):
    """Where the system shows no such files there is no limit."""
    assert container_room(tmp_path) is None
