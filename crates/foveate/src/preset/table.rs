//! The published runs, one row each.

use super::Preset;

/// Every preset. Sources: evaluation scripts and demos of the references named by the family.
pub(crate) const PRESETS: &[Preset] = &[
    // LLaDA-V, the demo of its repository.
    Preset {
        name: "lladav-demo",
        family: "llada-v",
        flags: "--gen-length 128 --block-length 128 --steps 128 \
                --schedule linear --remasking low-confidence --temperature 0 --prune none \
                --cache dllm-cache --cache-refresh 25 --cache-response-refresh 7 --cache-share 0.25 \
                --policy fixed",
    },
    // LLaDA-V, lmms-eval tasks with short answers.
    Preset {
        name: "lladav-vqa",
        family: "llada-v",
        flags: "--gen-length 2 --block-length 2 --steps 2 --think no-think \
                --schedule linear --remasking low-confidence --temperature 0 --prune none --cache none --policy fixed",
    },
    // LLaDA-V, lmms-eval tasks on documents and charts.
    Preset {
        name: "lladav-doc",
        family: "llada-v",
        flags: "--gen-length 32 --block-length 32 --steps 16 --think no-think \
                --schedule linear --remasking low-confidence --temperature 0 --prune none --cache none --policy fixed",
    },
    // LLaDA-V with Fast-dLLM's prefix cache and its adaptive threshold.
    Preset {
        name: "lladav-fast",
        family: "llada-v",
        flags: "--gen-length 64 --block-length 64 --steps 32 --think think \
                --schedule linear --remasking low-confidence --temperature 0 --prune none \
                --cache fast-dllm --cache-refresh 32 --policy factor=1",
    },
    // RedVTP on the settings of LLaDA-V: documents, short answers, the demo.
    Preset {
        name: "redvtp-lladav",
        family: "llada-v",
        flags: "--gen-length 32 --block-length 32 --steps 16 --think no-think \
                --schedule linear --remasking low-confidence --temperature 0 --prune redvtp --keep 0.5 --cache none --policy fixed",
    },
    Preset {
        name: "redvtp-lladav-vqa",
        family: "llada-v",
        flags: "--gen-length 2 --block-length 2 --steps 2 --think no-think \
                --schedule linear --remasking low-confidence --temperature 0 --prune redvtp --keep 0.5 --cache none --policy fixed",
    },
    Preset {
        name: "redvtp-lladav-demo",
        family: "llada-v",
        flags: "--gen-length 32 --block-length 32 --steps 16 \
                --schedule linear --remasking low-confidence --temperature 0 --prune redvtp --keep 0.5 --cache none --policy fixed",
    },
    // LaViDa, one token a step, as its evaluation does unless told otherwise.
    Preset {
        name: "lavida-full",
        family: "lavida-llada",
        flags: "--gen-length 128 --block-length 128 --steps 128 \
                --schedule linear --remasking low-confidence --temperature 0 \
                --prune none --cache none --policy fixed",
    },
    // LaViDa, run_coco.sh.
    Preset {
        name: "lavida-coco",
        family: "lavida-llada",
        flags: "--gen-length 32 --block-length 32 --step-ratio 0.5 \
                --schedule shift --schedule-shift 0.33 --remasking low-confidence --temperature 0 \
                --prune none --cache prefix --policy fixed",
    },
    // LaViDa-FIM, predict_fim.py; the text to fill is the request's.
    Preset {
        name: "lavida-fim",
        family: "lavida-llada",
        flags: "--gen-length 256 --block-length 128 --steps 256 \
                --schedule shift --schedule-shift 0.3333333333333333 \
                --remasking low-confidence --temperature 0 --prune none --cache prefix --policy fixed",
    },
    // LaViDa-Reason, its evaluation on mathematics.
    Preset {
        name: "lavida-reason",
        family: "lavida-llada",
        flags: "--gen-length 1024 --block-length 2 --steps 1024 \
                --schedule linear --remasking low-confidence --temperature 0 \
                --prune none --cache none --policy fixed",
    },
    // RedVTP on LaViDa as its paper means it: documents, short answers.
    Preset {
        name: "redvtp-lavida",
        family: "lavida-llada",
        flags: "--gen-length 32 --block-length 32 --steps 16 \
                --schedule linear --remasking low-confidence --temperature 0 \
                --prune redvtp --keep 0.5 --cache none --policy fixed",
    },
    Preset {
        name: "redvtp-lavida-vqa",
        family: "lavida-llada",
        flags: "--gen-length 2 --block-length 2 --steps 2 \
                --schedule linear --remasking low-confidence --temperature 0 \
                --prune redvtp --keep 0.5 --cache none --policy fixed",
    },
    // LaViDa-Dream, its evaluation with Dream's own times.
    Preset {
        name: "dream-eval",
        family: "lavida-dream",
        flags: "--gen-length 32 --steps 32 --schedule timesteps --remasking margin --temperature 0 \
                --prune none --cache prefix --policy fixed",
    },
    // LaViDa-Dream, run_coco_dream.sh.
    Preset {
        name: "dream-fast",
        family: "lavida-dream",
        flags: "--gen-length 32 --step-ratio 0.5 --schedule shift --schedule-shift 0.33 \
                --remasking margin --temperature 0 --prune none --cache prefix --policy fixed",
    },
];
