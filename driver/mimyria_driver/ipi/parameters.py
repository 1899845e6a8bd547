"""Parameters: what i-PI says of itself in its INIT string, compared with ours."""

from __future__ import annotations

from collections.abc import Mapping

from mimyria.errors import SettingsError

__all__ = ["check_parameters", "require_no_batch"]


def check_parameters(
    parameters: Mapping[str, str], time_step: float, n_beads: int
) -> None:
    """Refuse an i-PI whose settings do not fit.

    Args:
        parameters: the `<parameters>` of the ffsocket, and what i-PI adds.
        time_step: fs between two requests, as our settings have it.
        n_beads: of the settings; of several the number must be there.

    Raises:
        SettingsError: the two differ, or several configurations come at once.
    """
    require_no_batch(parameters)
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


def require_no_batch(parameters: Mapping[str, str]) -> None:
    """Refuse batches: short ones are padded with copies that look like the rest.

    Raises:
        SettingsError: i-PI sends several configurations at once.
    """
    size = parameters.get("batch_size", "1")
    if size != "1":
        raise SettingsError(
            f"i-PI sends {size} configurations at once. Set <batch_size> of the "
            "ffsocket to 1."
        )


def _near(text: str, wanted: float) -> bool:
    try:
        return abs(float(text) - wanted) <= 1e-9 * wanted
    except ValueError:
        return False
