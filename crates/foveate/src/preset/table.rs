//! The published runs, one row each.

use super::Preset;

/// Every preset. Sources: evaluation scripts and demos of the references named by the family.
pub(crate) const PRESETS: &[Preset] = &[
    // LLaDA-V, lmms-eval tasks with short answers.
    Preset {
        name: "lladav-vqa",
        family: "llada-v",
        flags: "--gen-length 2 --block-length 2 --steps 2 --think no-think \
                --remasking low-confidence --temperature 0 --prune none",
    },
    // LLaDA-V, lmms-eval tasks on documents and charts.
    Preset {
        name: "lladav-doc",
        family: "llada-v",
        flags: "--gen-length 32 --block-length 32 --steps 16 --think no-think \
                --remasking low-confidence --temperature 0 --prune none",
    },
    // RedVTP on the settings of LLaDA-V: documents, short answers, the demo.
    Preset {
        name: "redvtp-lladav",
        family: "llada-v",
        flags: "--gen-length 32 --block-length 32 --steps 16 --think no-think \
                --remasking low-confidence --temperature 0 --prune redvtp --keep 0.5",
    },
    Preset {
        name: "redvtp-lladav-vqa",
        family: "llada-v",
        flags: "--gen-length 2 --block-length 2 --steps 2 --think no-think \
                --remasking low-confidence --temperature 0 --prune redvtp --keep 0.5",
    },
    Preset {
        name: "redvtp-lladav-demo",
        family: "llada-v",
        flags: "--gen-length 32 --block-length 32 --steps 16 \
                --remasking low-confidence --temperature 0 --prune redvtp --keep 0.5",
    },
];
