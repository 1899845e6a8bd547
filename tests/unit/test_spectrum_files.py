"""Spectra in text files: what is read, what is refused, and the way there and back."""

import numpy as np
import pytest

from mimyria.errors import FormatError, IncompatibleError, UnitError
from mimyria.io.asdf import decode_line
from mimyria.io.jcamp import read_jcamp, write_jcamp
from mimyria.io.tables import read_table, write_table
from mimyria.spectra import Spectrum

GRID = 1.25 * np.arange(400)
VALUES = 3e3 * np.exp(-(((GRID - 200) / 40) ** 2)) - 1.7


def example(name="ir", values=VALUES, error=None):
    return Spectrum(GRID, values, "cm^-1", name, error, 10.0)


def jdx(tmp_path, body, **changes):
    """A JCAMP-DX file of five points, 100, 102 … 108 cm⁻¹."""
    labels = {
        "TITLE": "test",
        "JCAMP-DX": "4.24",
        "DATA TYPE": "INFRARED SPECTRUM",
        "XUNITS": "1/CM",
        "YUNITS": "ABSORBANCE",
        "XFACTOR": "1.0",
        "YFACTOR": "0.5",
        "FIRSTX": "100",
        "LASTX": "108",
        "NPOINTS": "5",
        "XYDATA": "(X++(Y..Y))",
    } | {key.replace("_", " "): value for key, value in changes.items()}
    table = labels.pop("XYDATA")
    labels |= {"XYDATA": table}  # always the last
    if "XYPOINTS" in labels:
        labels["XYPOINTS"] = labels.pop("XYPOINTS")
    lines = [f"##{k}={v}" for k, v in labels.items() if v is not None]
    path = tmp_path / "x.jdx"
    path.write_text("\n".join([*lines, body, "##END="]))
    return path


ORDINATES = [0.5, 1.0, 1.5, 1.5, -1.0]


@pytest.mark.parametrize(
    "body",
    [
        "100 1 2 3 3 -2",  # AFFN
        "100 1.0 2E0 3.0e+0\n106 3 -.2E1",
        "100+1+2+3+3-2",  # PAC
        "100A B C C b",  # SQZ
        "100ABCCb",
        "100AJJ%n",  # DIF
        "100AJT%n",  # DIF with DUP of a difference
        "100ABCTb",  # DUP of a value
        "100AJJ\n104C%n",  # a second line repeats the ordinate before it
        "100 1 2 $$ a remark\n104 3 3 -2",
        "100 1, 2; 3\t3 -2",
    ],
)
def test_every_form_of_ordinates_gives_the_same_numbers(tmp_path, body):
    found = read_jcamp(jdx(tmp_path, body))
    assert found.wavenumbers.tolist() == [100, 102, 104, 106, 108]
    assert found.intensity.tolist() == ORDINATES
    assert (found.unit, found.error) == ("ABSORBANCE", None)


def test_digits_of_the_compressed_forms():
    line = "599.860@VKT%TLkj%J%KLJ%njKjL%kL%jJULJ%kLK1%lLMNPNPRLJ0QTOJ1P"
    x, values, differences = decode_line(line, compressed=True)
    assert x == 599.86
    assert differences
    # The example of the definition (McDonald and Wilks 1988, table V).
    expected = """0 0 0 0 2 4 4 4 7 5 4 4 5 5 7 10 11 11 6 5 7 6 9 9 7 10 10 9 10 11
    12 15 16 16 14 17 38 38 35 38 42 47 54 59 66 75 78 88 96 104 110 121 128"""
    assert values == [float(word) for word in expected.split()]


def test_a_falling_abscissa_is_turned_round(tmp_path):
    path = jdx(tmp_path, "108 1 2\n104 3 3 -2", FIRSTX="108", LASTX="100")
    found = read_jcamp(path)
    assert found.wavenumbers.tolist() == [100, 102, 104, 106, 108]
    assert found.intensity.tolist() == ORDINATES[::-1]


def test_pairs_are_read(tmp_path):
    body = "100, 1; 103, 2; 110, 4\n90 0 91 ?"
    path = jdx(tmp_path, body, XYDATA=None, XYPOINTS="(XY..XY)")
    found = read_jcamp(path)
    assert found.wavenumbers.tolist() == [90, 91, 100, 103, 110]
    np.testing.assert_equal(found.intensity, [0, np.nan, 0.5, 1, 2])


def test_masked_ordinates_are_masked(tmp_path):
    found = read_jcamp(jdx(tmp_path, "100 1 ? 3 3 -2"))
    assert np.isnan(found.intensity[1])


@pytest.mark.parametrize(
    ("body", "changes", "text"),
    [
        ("100 1 2 3 3", {}, "NPOINTS is 5, but there are 4"),
        ("100 1 2 3 3 -2 7", {}, "NPOINTS is 5, but there are 6"),
        ("100 1 2\n110 3 3 -2", {}, "a line begins at 110"),
        ("100AJJ\n104D%n", {}, r"must begin with the last ordinate .*3\.0"),
        ("100 1 2 x!z 3 -2", {}, "is no number of a JCAMP-DX table"),
        ("100 J 2 3 3 -2", {}, "a difference without a value"),
        ("100S", {}, "a repetition of nothing"),
        ("?", {}, "has no abscissa"),
        ("100 1 2 3 3 -2", {"FIRSTY": "100"}, "Is YFACTOR right"),
        ("100 1 2 3 3 -2", {"YFACTOR": "one"}, "##YFACTOR= must be a number"),
        ("100 1 2 3 3 -2", {"LASTX": "nan"}, "##LASTX= must be finite"),
        ("100 1 2 3 3 -2", {"LASTX": "100"}, "FIRSTX another than LASTX"),
        ("100 1 2 3 3 -2", {"NPOINTS": None}, "##NPOINTS= must be a number"),
        ("100 1 2 3 3 -2", {"YUNITS": "TRANSMITTANCE"}, "is a transmittance"),
        ("100 1 2 3 3 -2", {"XYDATA": "(XYZ)"}, r"XYDATA must be \(X\+\+"),
        ("100 1 2 3 3 -2", {"XYDATA": None}, "must hold XYDATA, XYPOINTS"),
        ("100 1 2 3 3 -2\n##TITLE=second", {}, "files of several blocks are not read"),
        ("100 1 2 3 3 -2", {"JCAMP-DX": None}, "this is no JCAMP-DX file"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(tmp_path, body, changes, text):
    path = jdx(tmp_path, body, **changes)
    with pytest.raises(FormatError, match=text) as error:
        read_jcamp(path)
    assert str(path) in str(error.value)


def test_other_abscissae_are_refused(tmp_path):
    with pytest.raises(UnitError, match="XUNITS must be 1/CM, but is 'MICROMETERS'"):
        read_jcamp(jdx(tmp_path, "100 1 2 3 3 -2", XUNITS="MICROMETERS"))


def test_a_written_jcamp_comes_back(tmp_path):
    values = VALUES.copy()
    values[17] = np.nan
    write_jcamp(tmp_path / "a.jdx", example(values=values), origin="a µ-test")
    found = read_jcamp(tmp_path / "a.jdx")
    np.testing.assert_allclose(found.wavenumbers, GRID, rtol=1e-13)
    np.testing.assert_allclose(found.intensity, values, atol=3e-9 * VALUES.max())
    assert (found.unit, found.resolution) == ("cm^-1", 10.0)
    text = (tmp_path / "a.jdx").read_bytes().decode("ascii")
    assert text.startswith("##TITLE=ir\r\n##JCAMP-DX=4.24\r\n")
    assert max(map(len, text.splitlines())) <= 80
    with pytest.raises(FormatError, match="not on equidistant"):
        write_jcamp(
            tmp_path / "b.jdx",
            Spectrum(GRID**2, VALUES, "1", "ir", None, 1.0),
            origin="test",
        )


def test_errors_travel_in_jcamp_under_a_label_of_our_own(tmp_path):
    error = 0.1 * VALUES + 0.25
    error[3] = np.nan
    write_jcamp(tmp_path / "a.jdx", example(error=error), origin="test")
    found = read_jcamp(tmp_path / "a.jdx")
    np.testing.assert_allclose(found.error, error, rtol=1e-3)
    text = (tmp_path / "a.jdx").read_text()
    assert max(map(len, text.splitlines())) <= 80
    # What another program puts there is no error of ours, and no reason to fail.
    head, _, rest = text.partition("##$STANDARD ERRORS=")
    foreign = head + "##$STANDARD ERRORS=see paper\n##XY" + rest.partition("##XY")[2]
    (tmp_path / "b.jdx").write_text(foreign)
    assert read_jcamp(tmp_path / "b.jdx").error is None


def test_a_written_table_comes_back(tmp_path):
    error = np.full(400, 0.25)
    both = [example(error=error), example("raman_vv", 2 * VALUES)]
    write_table(tmp_path / "a.csv", both, remarks=["made by a test"])
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert lines[:3] == [
        "# made by a test",
        "wavenumber,ir,ir error,raman_vv",
        "cm^-1,cm^-1,cm^-1,cm^-1",
    ]
    found = read_table(tmp_path / "a.csv")
    np.testing.assert_allclose(found.intensity, VALUES, rtol=1e-9)
    np.testing.assert_allclose(found.error, error)
    assert (found.name, found.unit) == ("ir", "cm^-1")
    other = read_table(tmp_path / "a.csv", column="raman_vv")
    assert other.error is None
    assert read_table(tmp_path / "a.csv", column="4").name == "raman_vv"
    with pytest.raises(IncompatibleError, match="on different wavenumbers"):
        write_table(tmp_path / "b.csv", [both[0], both[1].between(0, 100)])


@pytest.mark.parametrize(
    "text",
    [
        "100,1\n101,2.5\n102,3\n",
        "100 1\n101 2.5\n102 3\n",
        "  100   1.0\n  101\t2.5\n\n  102   3\n",
        "100\t1\n101\t2,5\n102\t3",
        "100;1,0\n101;2,5\n102;3,0\n",
        "# remark\nwavenumber,absorbance\ncm^-1,1\n100,1\n101,2.5\n102,3\n",
        '"wavenumber (cm-1)","absorbance"\n100,1\n101,2.5\n102,3\n',
        "\ufeffWavenumber [1/cm];A\r\n100;1\r\n101;2,5\r\n102;3\r\n",
        "102,3\n101,2.5\n100,1\n",
        "absorbance,wavenumber\n1,100\n2.5,101\n3,102\n",
        "some title\nwritten by a machine, in 1999\n100 1 # first\n101 2.5\n102 3\n",
    ],
)
def test_tables_as_they_come_are_read(tmp_path, text):
    path = tmp_path / "x.csv"
    path.write_bytes(text.encode())
    found = read_table(path)
    assert found.wavenumbers.tolist() == [100, 101, 102]
    assert found.intensity.tolist() == [1, 2.5, 3]


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("", FormatError, "three or more rows of numbers, but has 0"),
        ("a,b\nc,d\n", FormatError, "but has 0"),
        ("100,1\n101,2\n", FormatError, "but has 2"),
        ("100\n101\n102\n103\n", FormatError, "but has 0"),
        ("100,1\n101\n102,3\n103,3\n", FormatError, "row 2 .* has 1 columns"),
        ("100,1\n101,2\n102,3,4\n", FormatError, "row 3 .* has 3 columns"),
        ("100,1\n101,x\n102,3\n103,4\n", FormatError, "row 2 .*'x', which is no"),
        ("100,1\n100,2\n102,3\n", FormatError, "100 stands there twice"),
        ("100,1\n,2\n102,3\n", FormatError, "a wavenumber is missing"),
        ("100,1\n101,inf\n102,3\n", FormatError, "holds infinity"),
        ("PK\0\0\n100,1\n", FormatError, "this is no text"),
        ("wavelength,A\nnm,1\n100,1\n101,2\n102,3\n", UnitError, "is in 'nm'"),
        ("THz,A\n100,1\n101,2\n102,3\n", UnitError, "'THz' is in 'THz'"),
    ],
)
def test_hostile_tables_are_refused(tmp_path, text, kind, message):
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(kind, match=message) as error:
        read_table(path)
    assert str(path) in str(error.value)


def test_an_absent_column_is_named(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("wavenumber,A\n100,1\n101,2\n102,3\n")
    with pytest.raises(FormatError, match=r"no column 'B'; there are: wavenumber, A"):
        read_table(path, column="B")


@pytest.mark.parametrize(
    ("remark", "resolution"),
    [
        ("# temperature 300 K, resolution 12.5 cm^-1", 12.5),
        ("# Resolution: 4 cm-1", 4.0),
        ("# resolution of the camera 4", 0.0),
        ("", 0.0),
    ],
)
def test_a_remark_of_a_table_says_its_resolution(tmp_path, remark, resolution):
    path = tmp_path / "x.csv"
    path.write_text(f"{remark}\nwavenumber,a\n1,2\n2,3\n3,4\n")
    assert read_table(path).resolution == resolution
