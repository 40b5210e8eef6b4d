"""Small source packages in the shapes of real projects, and archives of them."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

QUANTISATION = "vllm/model_executor/layers/quantization"


def vllm(*, gate: int = 80, extra_model: str = "") -> dict[str, str]:
    """vLLM: a registry, two models, two gates of which one is inherited, parsers, CMake lists."""
    extra = f'    "{extra_model}": ("llama", "LlamaForCausalLM"),\n' if extra_model else ""
    return {
        "PKG-INFO": "Name: vllm\nRequires-Python: >=3.10\nRequires-Dist: torch==2.9.0\n"
        'Requires-Dist: triton>=3; extra == "x"\n\nRequires-Dist: torch==1.0\n',
        "requirements/cuda.txt": "flashinfer-python==0.5.3  # pinned\n",
        "vllm/model_executor/models/registry.py": (
            "_TEXT_GENERATION_MODELS = {\n"
            '    "LlamaForCausalLM": ("llama", "LlamaForCausalLM"),\n'
            f"{extra}"
            '    "PlainForCausalLM": ("plain", "PlainForCausalLM"),\n'
            '    "TunedForCausalLM": ("plain", "TunedForCausalLM"),\n'
            "}\n"
            '_PREVIOUSLY_SUPPORTED_MODELS = {"OldForCausalLM": "0.9.2"}\n'
        ),
        "vllm/model_executor/models/interfaces.py": "class SupportsLoRA:\n    pass\n",
        "vllm/model_executor/models/llama.py": (
            "from .interfaces import SupportsLoRA\n"
            "class LlamaForCausalLM(nn.Module, SupportsLoRA):\n    pass\n"
        ),
        "vllm/model_executor/models/plain.py": (
            "from vllm.model_executor.models.llama import LlamaForCausalLM as Base\n"
            "class PlainForCausalLM(nn.Module):\n    pass\n"
            "class TunedForCausalLM(Base):\n    pass\n"
        ),
        f"{QUANTISATION}/__init__.py": (
            "def get(name):\n"
            "    from .awq import AWQConfig, AWQMarlinConfig\n"
            "    from .odd import OddConfig\n"
            '    return {"awq": AWQConfig, "awq_marlin": AWQMarlinConfig, "quark": OddConfig}[name]\n'
        ),
        f"{QUANTISATION}/awq.py": (
            "class AWQConfig:\n    @classmethod\n    def get_min_capability(cls):\n"
            '        """The least."""\n        # Turing\n'
            f"        return {gate}\n"
            "class AWQMarlinConfig(AWQConfig):\n    pass\n"
        ),
        f"{QUANTISATION}/odd.py": (
            "class OddConfig:\n    def get_min_capability(self):\n        return 100 if self.new else 80\n"
        ),
        "vllm/config/cache.py": 'CacheDType = Literal["auto", "fp8", "fp8_e5m2"]\n',
        "vllm/tool_parsers/__init__.py": '_TOOL_PARSERS_TO_REGISTER = {"hermes": ("hermes_parser", "H")}\n',
        "vllm/reasoning/qwen3.py": '@ReasoningParserManager.register_module("qwen3")\nclass Q:\n    pass\n',
        "vllm/v1/attention/backends/registry.py": (
            'class AttentionBackendEnum(Enum):\n    FLASH_ATTN = "a.b"\n    CUSTOM = None\n'
        ),
        "CMakeLists.txt": (
            'set(HIP_SUPPORTED_ARCHS "gfx90a;gfx942")\nif(NEW)\n'
            '  set(CUDA_SUPPORTED_ARCHS "7.5;8.0;9.0;12.0")\nelse()\n'
            '  set(CUDA_SUPPORTED_ARCHS "7.5;8.0;9.0")\nendif()\n'
        ),
    }


def sglang() -> dict[str, str]:
    """SGLang: EntryClass alone and in a list."""
    return {
        "sglang/srt/models/llama.py": "class LlamaForCausalLM: pass\nEntryClass = LlamaForCausalLM\n",
        "sglang/srt/models/qwen3.py": "class A: pass\nclass B: pass\nEntryClass = [A, B]\n",
        "sglang/srt/layers/quantization/__init__.py": (
            "from sglang.srt.layers.quantization.fp8 import Fp8Config\n"
            'BASE: Dict[str, Type[X]] = {"fp8": Fp8Config}\n'
        ),
        "sglang/srt/layers/quantization/fp8.py": (
            "class Fp8Config:\n    def get_min_capability(cls):\n        return 80\n"
        ),
        "sglang/srt/server_args.py": (
            'ATTENTION_BACKEND_CHOICES = ["triton", "fa3"]\n'
            'parser.add_argument("--kv-cache-dtype", choices=["auto", "fp8_e5m2"])\n'
        ),
        "sglang/srt/function_call/function_call_parser.py": (
            'class P:\n    ToolCallParserEnum: Dict[str, T] = {"glm": G}\n'
        ),
        "sglang/srt/parser/reasoning_parser.py": 'class R:\n    DetectorMap: Dict[str, T] = {"kimi": K}\n',
        "PKG-INFO": "Requires-Dist: torch==2.9.1\n\n",
    }


def lmdeploy() -> dict[str, str]:
    """LMDeploy: two engines, names removed, parsers by decorator."""
    return {
        "lmdeploy/turbomind/supported_models.py": "SUPPORTED_ARCHS = dict(LlamaForCausalLM='llama', X='y')\n",
        "lmdeploy/pytorch/models/module_map.py": (
            "MODULE_MAP = dict()\nOTHER_MAP = dict()\nREMOVED_MODEL_MAP = {'Old': 'o'}\n"
            "MODULE_MAP.update({'LlamaForCausalLM': f'{P}.llama'})\nOTHER_MAP.update({'Ascend': 'a'})\n"
        ),
        "lmdeploy/serve/parsers/tool_parser/glm.py": (
            "@ToolParserManager.register_module(['glm', 'glm47'])\nclass G:\n    pass\n"
        ),
    }


def exllamav3() -> dict[str, str]:
    """ExLlamaV3: a list of model classes, each beside a config with its arch_string."""
    return {
        "exllamav3/architecture/architectures.py": (
            "from .llama import LlamaModel\nARCHITECTURES = {m: m for m in [LlamaModel]}\n"
        ),
        "exllamav3/architecture/llama.py": (
            'class LlamaConfig:\n    arch_string = "LlamaForCausalLM"\nclass LlamaModel:\n    pass\n'
        ),
        "exllamav3/architecture/unlisted.py": 'class C:\n    arch_string = "Unlisted"\n',
    }


def mlx_lm() -> dict[str, str]:
    """mlx-lm: a file per model type, one that is none, a renamed type."""
    return {
        "mlx_lm/models/llama.py": "class Model(nn.Module):\n    pass\n",
        "mlx_lm/models/cache.py": "class Cache:\n    pass\n",
        "mlx_lm/utils.py": 'MODEL_REMAPPING = {"mistral": "llama", "lost": "gone"}\n',
        "mlx_lm/convert.py": 'parser.add_argument(\n    "--q-mode",\n    choices=["affine", "mxfp4"],\n)\n',
        "mlx_lm/tool_parsers/__init__.py": "",
        "mlx_lm/tool_parsers/glm47.py": "",
    }


def transformers() -> dict[str, str]:
    """Transformers: an OrderedDict of pairs, a class or several per type, a table of requirements."""
    return {
        "src/transformers/models/auto/modeling_auto.py": (
            "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES = OrderedDict([\n"
            '    ("llama", "LlamaForCausalLM"), ("two", ("AForCausalLM", "BForCausalLM")),\n])\n'
            'MODEL_FOR_MASKED_LM_MAPPING_NAMES = OrderedDict([("bert", "BertForMaskedLM")])\n'
        ),
        "src/transformers/quantizers/auto.py": 'AUTO_QUANTIZER_MAPPING = {"awq": AwqQuantizer}\n',
        "src/transformers/dependency_versions_table.py": (
            'deps = {"torch": "torch>=2.6,!=2.7", "pytest": "pytest>=7"}\n'
        ),
    }


def peft() -> dict[str, str]:
    """PEFT: an enumeration of kinds, default target modules."""
    return {
        "src/peft/utils/peft_types.py": 'class PeftType(str, enum.Enum):\n    LORA = "LORA"\n    X = 1\n',
        "src/peft/utils/constants.py": (
            'TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING = {"llama": ["q_proj", "v_proj"]}\n'
        ),
    }


def llama_cpp() -> dict[str, str]:
    """llama.cpp inside llama-cpp-python: C++ that is read as text."""
    root = "vendor/llama.cpp"
    return {
        f"{root}/src/llama-arch.cpp": (
            "static const std::map<llm_arch, const char *> LLM_ARCH_NAMES = {\n"
            '    { LLM_ARCH_CLIP, "clip" }, // dummy\n    { LLM_ARCH_LLAMA, "llama" },\n'
            '    { LLM_ARCH_UNKNOWN, "(unknown)" },\n};\n'
        ),
        f"{root}/ggml/src/ggml.c": (
            '[GGML_TYPE_F16] = {\n .type_name = "f16",\n .is_quantized = false,\n},\n'
            '[GGML_TYPE_Q4_K] = {\n .type_name = "q4_K",\n .is_quantized = true,\n},\n'
        ),
        f"{root}/common/arg.cpp": (
            "const std::vector<ggml_type> kv_cache_types = {\n    GGML_TYPE_Q8_0,\n};\n"
        ),
        f"{root}/ggml/src/ggml-cuda/CMakeLists.txt": (
            "list(APPEND CMAKE_CUDA_ARCHITECTURES 50-virtual 86-real)\n"
        ),
        "CHANGELOG.md": "## [Unreleased]\n\n## [0.3.36]\n\n"
        "- feat: update llama.cpp to ggml-org/llama.cpp@0c1e57098\n"
        "\n## [0.3.35]\n\n- feat: update llama.cpp to ggml-org/llama.cpp@4df29be4f\n",
    }


def tarball(path: Path, files: Mapping[str, str | bytes], root: str = "p-1.0") -> Path:
    """A source package of these files."""
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            data = text.encode("utf-8") if isinstance(text, str) else text
            member = tarfile.TarInfo(f"{root}/{name}" if root else name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def wheel(path: Path, files: Mapping[str, str]) -> Path:
    """A wheel of these files."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path
