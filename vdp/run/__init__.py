"""A trained run, opened from its workdir."""

from vdp.run.base import M
from vdp.run.codes import Code
from vdp.run.opened import Images, Run
from vdp.run.opening import create, load, open_quietly, record_of, restore

__all__ = ["Code", "Images", "M", "Run", "create", "load", "open_quietly", "record_of", "restore"]
