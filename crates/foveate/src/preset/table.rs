//! The published runs, one row each.

use super::Preset;

/// Every preset. Sources: evaluation scripts and demos of the references named by the family.
pub(crate) const PRESETS: &[Preset] = &[
    // LLaDA-V, the demo of its repository.
    Preset {
        name: "lladav-demo",
        family: "llada-v",
        flags: "--gen-length 128 --block-length 128 --steps 128 \
                --remasking low-confidence --temperature 0 --prune none \
                --cache dllm-cache --cache-refresh 25 --cache-response-refresh 7 --cache-share 0.25 \
                --policy fixed",
    },
    // LLaDA-V, lmms-eval tasks with short answers.
    Preset {
        name: "lladav-vqa",
        family: "llada-v",
        flags: "--gen-length 2 --block-length 2 --steps 2 --think no-think \
                --remasking low-confidence --temperature 0 --prune none --cache none --policy fixed",
    },
    // LLaDA-V, lmms-eval tasks on documents and charts.
    Preset {
        name: "lladav-doc",
        family: "llada-v",
        flags: "--gen-length 32 --block-length 32 --steps 16 --think no-think \
                --remasking low-confidence --temperature 0 --prune none --cache none --policy fixed",
    },
    // LLaDA-V with Fast-dLLM's prefix cache and its adaptive threshold.
    Preset {
        name: "lladav-fast",
        family: "llada-v",
        flags: "--gen-length 64 --block-length 64 --steps 32 --think think \
                --remasking low-confidence --temperature 0 --prune none \
                --cache fast-dllm --cache-refresh 32 --policy factor=1",
    },
    // RedVTP on the settings of LLaDA-V: documents, short answers, the demo.
    Preset {
        name: "redvtp-lladav",
        family: "llada-v",
        flags: "--gen-length 32 --block-length 32 --steps 16 --think no-think \
                --remasking low-confidence --temperature 0 --prune redvtp --keep 0.5 --cache none --policy fixed",
    },
    Preset {
        name: "redvtp-lladav-vqa",
        family: "llada-v",
        flags: "--gen-length 2 --block-length 2 --steps 2 --think no-think \
                --remasking low-confidence --temperature 0 --prune redvtp --keep 0.5 --cache none --policy fixed",
    },
    Preset {
        name: "redvtp-lladav-demo",
        family: "llada-v",
        flags: "--gen-length 32 --block-length 32 --steps 16 \
                --remasking low-confidence --temperature 0 --prune redvtp --keep 0.5 --cache none --policy fixed",
    },
];
