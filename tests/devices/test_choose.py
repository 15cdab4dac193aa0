"""Which library, which device, and what is said when there is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.devices.choose import backend, failure, hint_silent, pick
from locara.devices.contracts import DeviceInfo
from locara.errors import ConfigError, DeviceError, NoDevice

HERE = [
    DeviceInfo("Built-in Microphone", "input", False, "x"),
    DeviceInfo("USB Headset", "input", True, "x"),
    DeviceInfo("USB Headset Pro", "input", False, "x"),
    DeviceInfo("Jabra", "output", True, "x"),
]


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("default", "USB Headset"),
        ("USB Headset", "USB Headset"),  # also a part of another name
        ("usb headset", "USB Headset"),
        ("pro", "USB Headset Pro"),
        (" BUILT ", "Built-in Microphone"),
    ],
)
def test_a_device_is_picked_by_name_or_a_part_of_it(wanted: str, name: str) -> None:
    assert pick(HERE, wanted, "input").name == name


def test_several_fits_are_named() -> None:
    with pytest.raises(DeviceError, match="fits 2 devices: USB Headset, USB Headset Pro"):
        pick(HERE, "usb", "input")


@pytest.mark.parametrize(
    ("wanted", "hint"),
    [
        ("Built-in Micropohne", "did you mean 'Built-in Microphone'?"),
        ("hedset", "did you mean 'USB Headset"),
        ("zzz", "there is: Built-in Microphone, USB Headset, USB Headset Pro"),
        ("Jabra", "there is: "),  # a speaker is no microphone
        ("", "there is: "),
    ],
)
def test_an_unknown_name_comes_with_a_suggestion(wanted: str, hint: str) -> None:
    with pytest.raises(NoDevice) as raised:
        pick(HERE, wanted, "input")
    assert raised.value.hint.startswith(hint)


def test_no_device_of_the_kind_at_all() -> None:
    with pytest.raises(NoDevice, match="no speaker"):
        pick(HERE[:3], "default", "output")


@given(st.lists(st.text(max_size=8), max_size=6), st.text(max_size=8))
def test_a_pick_is_one_of_the_devices_or_an_error_with_a_hint(names: list[str], wanted: str) -> None:
    devices = [DeviceInfo(name, "output", False, "x") for name in names]
    try:
        assert pick(devices, wanted, "output") in devices
    except DeviceError as error:
        assert error.hint  # noqa: PT017 - either way is right


def test_the_library_is_miniaudio_unless_it_is_missing_or_another_is_wanted() -> None:
    assert backend("", miniaudio_installed=True) == "miniaudio"
    assert backend("", miniaudio_installed=False) == "portaudio"
    assert backend(" PortAudio ", miniaudio_installed=True) == "portaudio"
    with pytest.raises(ConfigError, match="LOCARA_AUDIO=oss"):
        backend("oss", miniaudio_installed=True)


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
@pytest.mark.parametrize("kind", ["input", "output"])
def test_every_failure_has_a_next_step_for_this_system(platform: str, kind: str) -> None:
    none = failure(kind, "default", "why", exists=False, platform=platform)  # type: ignore[arg-type]
    refused = failure(kind, "Jabra", "why", exists=True, platform=platform)  # type: ignore[arg-type]
    assert isinstance(none, NoDevice)
    assert not isinstance(refused, NoDevice)
    for error in (none, refused):
        assert "why" in error.message
        assert error.hint
    if kind == "input" and platform == "darwin":
        assert "Privacy & Security" in refused.hint


@pytest.mark.parametrize(
    ("platform", "says"),
    [
        ("darwin", ["System Settings > Privacy & Security > Microphone"]),
        ("win32", ["Settings > Privacy & security > Microphone", "mute switch"]),
        ("linux", ["pavucontrol", "wpctl", "pactl", "Flatpak"]),
        ("freebsd14", ["mute switch"]),
    ],
)
def test_a_dead_microphone_comes_with_the_settings_of_this_system(platform: str, says: list[str]) -> None:
    assert all(word in hint_silent(platform) for word in says)
