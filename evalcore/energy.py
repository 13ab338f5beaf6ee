"""How much energy the machine has used, where it tells."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["NOT_TOLD", "EnergyMeter", "energy_meter"]

NOT_TOLD: Final = "not told by this machine"
_POWERCAP = Path("/sys/class/powercap")
_LIBRARY = "libnvidia-ml.so.1"


@dataclass(frozen=True, slots=True)
class EnergyMeter:
    """A counter of energy."""

    source: str
    """What counts, in words."""
    read_joules: Callable[[], float] | None
    """Since some moment in the past; None where nothing counts."""

    def since(self, before: float | None) -> float | None:
        """Return the joules since an earlier reading of :meth:`now`; None where nothing counts."""
        now = self.now()
        return None if now is None or before is None else now - before

    def now(self) -> float | None:
        """Return the counter's reading in joules; None where nothing counts."""
        return None if self.read_joules is None else self.read_joules()


def energy_meter(powercap: Path = _POWERCAP) -> EnergyMeter:
    """Find what counts energy here: NVIDIA's GPUs by NVML, else Intel's and AMD's CPUs by RAPL.

    RAPL counts whole packages: what else runs on the machine is in it. Its files may be readable by
    root alone; then nothing is told.

    Parameters
    ----------
    powercap
        Folder of the kernel's power capping framework.
    """
    return _nvml() or _rapl(powercap) or EnergyMeter(NOT_TOLD, None)


def _rapl(folder: Path) -> EnergyMeter | None:
    counters = []
    for zone in sorted(folder.glob("intel-rapl:[0-9]*")) if folder.is_dir() else ():
        try:
            if ":" in zone.name.removeprefix("intel-rapl:"):
                continue  # a part of a package
            if (zone / "name").read_text().strip().startswith("package"):
                counters.append(_Rapl(zone))
        except (OSError, ValueError):
            return None
    if not counters:
        return None
    return EnergyMeter(
        f"RAPL, {len(counters)} {'package' if len(counters) == 1 else 'packages'}",
        lambda: sum(counter.joules() for counter in counters),
    )


class _Rapl:
    """A package's counter, which begins anew when it has reached its range."""

    def __init__(self, zone: Path) -> None:
        self._file = zone / "energy_uj"
        self._range = int((zone / "max_energy_range_uj").read_text())
        self._last = self._read()
        self._beyond = 0

    def joules(self) -> float:
        now = self._read()
        if now < self._last:
            self._beyond += self._range
        self._last = now
        return (self._beyond + now) / 1e6

    def _read(self) -> int:
        return int(self._file.read_text())


def _nvml() -> EnergyMeter | None:
    """Use NVML by its C interface: ``nvmlDeviceGetTotalEnergyConsumption``, in millijoules."""
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError:
        return None
    count = ctypes.c_uint()
    if library.nvmlInit_v2() or library.nvmlDeviceGetCount_v2(ctypes.byref(count)):
        return None
    handles = []
    for index in range(count.value):
        handle = ctypes.c_void_p()
        if library.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle)):
            return None
        handles.append(handle)

    def joules() -> float:
        total = 0
        for handle in handles:
            used = ctypes.c_ulonglong()
            library.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(used))
            total += used.value
        return total / 1e3

    return EnergyMeter(f"NVML, {len(handles)} GPUs", joules) if handles and joules() else None
