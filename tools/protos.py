"""Build the contracts: `protos/` becomes `gen/`, importable as protoc writes it.

The proto package, the folder under `protos/` and the Python package under `gen/` have one name,
so generated imports are right without rewriting. Each package's `__init__` names exactly its
messages, enums, stubs and servicers: `from merhaba.profile.v1 import GetContactRequest`.
"""

import shutil
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
GEN = ROOT / "gen"
BIN = Path(sys.executable).parent


def compile_all(files: list[Path], descriptors: Path) -> None:
    """Run protoc once over all files; exits with protoc's own words when one is wrong."""
    well_known = Path(protoc.__file__).parent / "_proto"
    arguments = [
        "protoc",
        f"-I{PROTOS}",
        f"-I{well_known}",
        f"--descriptor_set_out={descriptors}",
        f"--python_out={GEN}",
        f"--grpc_python_out={GEN}",
        f"--plugin=protoc-gen-mypy={BIN / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={BIN / 'protoc-gen-mypy_grpc'}",
        f"--mypy_out=quiet:{GEN}",
        f"--mypy_grpc_out=quiet:{GEN}",
        *(str(file.relative_to(PROTOS)) for file in files),
    ]
    if protoc.main(arguments) != 0:
        sys.exit("the contracts do not compile; see above")


def export_names(descriptors: Path) -> None:
    """Write each package's `__init__`, and drop the gRPC files of protos without a service.

    For type checkers a stub is its asyncio form: this suite has no other.
    """
    found = FileDescriptorSet.FromString(descriptors.read_bytes())
    exports: dict[Path, list[tuple[str, str, str]]] = defaultdict(list)
    for file in found.file:
        package, stem = GEN / Path(file.name).parent, Path(file.name).stem
        nouns = [m.name for m in file.message_type] + [e.name for e in file.enum_type]
        exports[package] += [(f"{stem}_pb2", noun, noun) for noun in nouns]
        for service in (s.name for s in file.service):
            module = f"{stem}_pb2_grpc"
            exports[package] += [
                (module, f"{service}Stub", f"{service}AsyncStub"),
                (module, f"{service}Servicer", f"{service}Servicer"),
                (module, f"add_{service}Servicer_to_server", f"add_{service}Servicer_to_server"),
            ]
        if not file.service:
            for suffix in (".py", ".pyi"):
                (package / f"{stem}_pb2_grpc{suffix}").unlink(missing_ok=True)
    for package, names in exports.items():
        dotted = ".".join(package.relative_to(GEN).parts)
        exported = f"\n__all__ = {[name for _, name, _ in sorted(names)]!r}\n"
        for suffix, column in ((".py", 1), (".pyi", 2)):
            lines = [
                f"from {dotted}.{export[0]} import {export[column]} as {export[1]}\n"
                for export in sorted(names)
            ]
            (package / f"__init__{suffix}").write_text("".join(lines) + exported)
    (GEN / "merhaba" / "py.typed").touch()


def main() -> None:
    """Build everything anew; takes under two seconds."""
    files = sorted(PROTOS.rglob("*.proto"))
    shutil.rmtree(GEN / "merhaba", ignore_errors=True)
    GEN.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        descriptors = Path(folder) / "descriptors"
        compile_all(files, descriptors)
        export_names(descriptors)
    print(f"contracts: {len(files)} files built into gen/")


if __name__ == "__main__":
    main()
