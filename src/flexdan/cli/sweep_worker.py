"""`flexdan sweep worker`."""

import argparse
import os
import signal
import socket
from collections.abc import Sequence

from flexdan.cli.parser import describe
from flexdan.cli.sweeps import add_sweep_arguments, check_data, open_sweep, read_address, storage_url, write_address
from flexdan.config.errors import UserError
from flexdan.config.files import check_folder

WHAT = """\
Take trials of a sweep and run them, one after the other, until none is left. Any number of workers on any number of
machines may work on one sweep; each trial is run once. `flexdan sweep run` starts those of its own machine.

A worker that dies loses its trial to another one, which goes on from the last epoch where it finds the checkpoint: on a
disk that both see, else from the start. So a worker stays until the others have finished too, unless --no-wait says
otherwise. On SIGTERM or Ctrl-C it gives its trial back after the current epoch and ends; on a second one at once.

On another machine FOLDER may be new: --storage and --name tell where the sweep is, --data where its manifest is. The
password of a database may be in PGPASSWORD, or in FLEXDAN_STORAGE with the whole address, instead of --storage."""
EXAMPLES = """\
  flexdan sweep worker sweeps/first
  CUDA_VISIBLE_DEVICES=1 flexdan sweep worker sweeps/first
  flexdan sweep worker sweeps/many --storage postgresql://me@server/sweeps --name many --data /data/glas.csv
  srun --ntasks 8 --gpus-per-task 1 flexdan sweep worker sweeps/many"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = argparse.ArgumentParser(prog="flexdan sweep worker", **describe(WHAT, EXAMPLES))
    add_sweep_arguments(parser)
    add = parser.add_argument
    add("--data", default="", metavar="MANIFEST", help="manifest of the same data, where it is elsewhere here")
    add("--worker", default="", metavar="NAME", help="of this worker; default: host and process number")
    add("--share", type=int, default=1, metavar="N", help="workers that share the memory here; default: 1")
    add("--threads", type=int, default=0, metavar="N", help="threads on the CPU; default: all")
    add("--no-wait", action="store_true", help="end when no trial waits, though others are still running some")
    return parser


def run(argv: Sequence[str]) -> int:
    """Work."""
    options = make_parser().parse_args(argv)
    for name, value, least in (("--share", options.share, 1), ("--threads", options.threads, 0)):
        if value < least:
            raise UserError(f"{name} is {value}, but must be {least} at least")
    if options.folder.is_file():
        raise UserError(f"{options.folder} is a file, and no folder of a sweep")
    check_folder(options.folder)
    study = open_sweep(options.folder, options.storage, options.name)
    if not read_address(options.folder):
        write_address(options.folder, study.name, storage_url(options.folder, options.storage))

    import torch

    from flexdan.sweep import Worker

    if options.threads:
        torch.set_num_threads(options.threads)
    check_data(study, options.data)
    ending = Ending()
    worker = Worker(
        study=study,
        folder=options.folder,
        name=options.worker or f"{socket.gethostname()}-{os.getpid()}",
        share=options.share,
        wait=not options.no_wait,
        say=lambda line: print(line, flush=True),
        ending=ending,
    )
    print(f"worker {worker.name} begins with sweep {study.name}", flush=True)
    begun = worker.run()
    why = ", as it was asked to" if ending() else ", since the sweep is stopped" if study.stopping else ""
    print(f"worker {worker.name} ends after {begun} trial{'s' * (begun != 1)}{why}")
    return 0


class Ending:
    """Whether this process is asked to end: the first SIGTERM or Ctrl-C asks, the second interrupts."""

    def __init__(self):
        self._asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def __call__(self) -> bool:
        """Tell whether someone has asked."""
        return self._asked

    def _ask(self, *_: object) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
        print("it ends after this epoch, and gives its trial back; once more: at once", flush=True)
