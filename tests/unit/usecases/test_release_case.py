"""What a host is to run says of each mount whether it is written to."""

from __future__ import annotations

from dataclasses import replace

from controlplane.domain.releases.compose_view import Bind, NamedVolume
from controlplane.usecases.release_case import brought
from tests.fakes.promotions import PromotedSite
from tests.fakes.releases import STACK


def test_a_volume_that_binds_a_directory_keeps_its_name_for_who_looks_at_the_host() -> None:
    site = PromotedSite()
    bind = Bind(source="/mnt/data/pg", target="/data", read_only=False, volume="pg", named="shop_pg", file="compose.yml", line=1)
    views = {
        host: view.model_copy(
            update={
                "services": tuple(one.model_copy(update={"binds": (bind,), "container": "pg", "stops_with": ("seeds",)}) for one in view.services)
            }
        )
        for host, view in site.views(STACK, "staging").items()
    }
    wanted = brought(replace(site.site, views=lambda *_: views), STACK, "staging", site.files.manifest(STACK, "r1"))["mint-apps"]
    one = wanted.services["intake"]
    assert (one.named, one.container, one.stops_with) == ({"shop_pg": "/mnt/data/pg"}, "pg", ("seeds",))


def test_what_is_only_read_is_told_from_what_is_written() -> None:
    site = PromotedSite()
    binds = tuple(Bind(source=f"/srv/{mode}", target=f"/{mode}", read_only=mode == "ro", file="compose.yml", line=1) for mode in ("ro", "rw"))
    volumes = tuple(NamedVolume(key=mode, name=f"shop_{mode}", target=f"/v{mode}", read_only=mode == "ro") for mode in ("ro", "rw"))
    views = {
        host: view.model_copy(update={"services": tuple(one.model_copy(update={"binds": binds, "volumes": volumes}) for one in view.services)})
        for host, view in site.views(STACK, "staging").items()
    }
    wanted = brought(replace(site.site, views=lambda *_: views), STACK, "staging", site.files.manifest(STACK, "r1"))["mint-apps"]
    assert wanted.bind_sources == ("/srv/ro", "/srv/rw")
    assert (wanted.written_sources, wanted.written_volumes) == ({"/srv/rw"}, {"shop_rw"})
