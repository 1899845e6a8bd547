"""Agreement: what the <parameters> of i-PI's ffsocket and our settings both say."""

from __future__ import annotations

from collections.abc import Mapping

from mimyria.errors import SettingsError

__all__ = ["check_parameters"]


def check_parameters(
    parameters: Mapping[str, str], time_step: float, n_beads: int
) -> None:
    """Compare those that are there; of several beads the number must be there.

    Args:
        parameters: of the INIT string.
        time_step: of the settings, fs.
        n_beads: of the settings.

    Raises:
        SettingsError: the two differ.
    """
    text = parameters.get("dt_fs")
    if text is not None and not _near(text, time_step):
        raise SettingsError(
            f"The time step is {time_step} fs in the settings, but '{text}' in the "
            "dt_fs of i-PI's <parameters>. Make the two agree."
        )
    text = parameters.get("nbeads")
    if text is None and n_beads > 1:
        raise SettingsError(
            f"source.beads is {n_beads}, but the <parameters> of i-PI's ffsocket do "
            "not say how many beads there are. Write there "
            f"{{nbeads: {n_beads}}}, the nbeads of <initialize>, and no nbeads in the "
            "<force> of the driver."
        )
    if text is not None and not _near(text, n_beads):
        raise SettingsError(
            f"source.beads is {n_beads}, but nbeads is '{text}' in i-PI's "
            "<parameters>. Make the two agree."
        )


def _near(text: str, wanted: float) -> bool:
    try:
        return abs(float(text) - wanted) <= 1e-9 * wanted
    except ValueError:
        return False
