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
    """Write each package's `__init__`, and drop the gRPC files of protos without a service."""
    found = FileDescriptorSet.FromString(descriptors.read_bytes())
    exports: dict[Path, list[tuple[str, list[str]]]] = defaultdict(list)
    for file in found.file:
        package, stem = GEN / Path(file.name).parent, Path(file.name).stem
        plain = [m.name for m in file.message_type] + [e.name for e in file.enum_type]
        exports[package].append((f"{stem}_pb2", plain))
        if file.service:
            rpc = [
                name
                for service in file.service
                for name in (
                    f"{service.name}Stub",
                    f"{service.name}Servicer",
                    f"add_{service.name}Servicer_to_server",
                )
            ]
            exports[package].append((f"{stem}_pb2_grpc", rpc))
        else:
            for suffix in (".py", ".pyi"):
                (package / f"{stem}_pb2_grpc{suffix}").unlink(missing_ok=True)
    for package, modules in exports.items():
        dotted = ".".join(package.relative_to(GEN).parts)
        lines = [
            f"from {dotted}.{module} import {name} as {name}\n"
            for module, names in sorted(modules)
            for name in sorted(names)
        ]
        (package / "__init__.py").write_text("".join(lines))
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
