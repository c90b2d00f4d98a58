"""QR codes of links that open a wallet, for a page that a wallet on another device scans."""

import io

import segno
from fastapi import Response

from api.problems import LinkTooLong


def qr_response(link: str, title: str) -> Response:
    """A link as an SVG, for the page that its link stands on too; raises LinkTooLong."""
    return Response(
        draw_qr(link, title),
        media_type="image/svg+xml",
        headers={"Cache-Control": "no-store", "Content-Security-Policy": "default-src 'none'; sandbox"},
    )


def draw_qr(link: str, title: str) -> bytes:
    """An SVG of a link, a quiet zone around it: a seventh of a symbol may be lost, of the very densest a fourteenth.

    Raises LinkTooLong.
    """
    for error in ("m", "l"):
        try:
            # Within its size a symbol takes as much correction as fits.
            symbol = segno.make_qr(link, error=error, boost_error=True)
        except segno.DataOverflowError:
            continue
        drawn = io.BytesIO()
        symbol.save(drawn, kind="svg", border=4, dark="#000", light="#fff", omitsize=True, title=title)
        return drawn.getvalue()
    raise LinkTooLong
