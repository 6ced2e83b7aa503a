//! SigLIP-style tower and projector: views of an image → visual tokens.

use foveate_kernels::{Act, Backend, Heads, Into, Layout, Norm, NormKind, Plan, Qkv, RowMap, Span};

use super::weights::upload;
use super::{Part, Source, read};
use crate::error::Result;
use crate::image::Views;
use crate::tap::{Signal, Tap};

/// Sizes of a vision tower and its projector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VisionShape {
    /// Side of a view, in pixels.
    pub image_size: usize,
    /// Side of a patch, in pixels.
    pub patch_size: usize,
    /// Width of the tower.
    pub hidden: usize,
    /// Encoder layers in use; the stored tower config counts one more.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width of the MLP.
    pub mlp: usize,
    /// `LayerNorm` epsilon.
    pub norm_eps: f32,
    /// Width of the decoder, which the projector maps to.
    pub projected: usize,
}

impl VisionShape {
    /// Patches along one side; pixels that do not fill a patch are never seen.
    pub fn patches_per_side(&self) -> usize {
        self.image_size / self.patch_size
    }

    /// Patches of one view.
    pub fn patches(&self) -> usize {
        self.patches_per_side() * self.patches_per_side()
    }
}

struct Layer<B: Backend> {
    norm1: [B::Buf; 2],
    query: B::Weight,
    key_value: B::Weight,
    output: B::Weight,
    norm2: [B::Buf; 2],
    up: B::Weight,
    down: B::Weight,
}

/// Patch embedding, encoder layers without the post-norm, projector and newline row.
pub(crate) struct Vision<B: Backend> {
    shape: VisionShape,
    patch: B::Weight,
    positions: B::Buf,
    layers: Vec<Layer<B>>,
    projector: [B::Weight; 2],
    newline: Vec<f32>,
}

/// Where the tower and the projector lie in a checkpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VisionNames {
    /// As the families store it, and as a plain `SigLIP` folder does.
    pub(crate) towers: [&'static str; 2],
    pub(crate) projector: [&'static str; 2],
    pub(crate) newline: &'static str,
}

impl<B: Backend> Vision<B> {
    pub(crate) fn load(
        backend: &mut B,
        source: &Source<'_>,
        names: &VisionNames,
        shape: VisionShape,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Self> {
        let VisionShape {
            hidden,
            mlp,
            patch_size,
            projected,
            ..
        } = shape;
        let [ours, plain] = names.towers;
        let is_plain = source.has(&format!("{plain}.embeddings.patch_embedding.weight"));
        let tower = if is_plain { plain } else { ours };
        let linear = |backend: &B, names: &[String], shape: &[usize]| {
            source.linear(backend, names, shape, true, Layout::Linear, Part::Vision)
        };
        let patch = [format!("{tower}.embeddings.patch_embedding")];
        let patch = linear(backend, &patch, &[hidden, 3, patch_size, patch_size])?;
        let positions = format!("{tower}.embeddings.position_embedding.weight");
        let positions = source
            .take(&positions, &[shape.patches(), hidden], Part::Vision)?
            .view()?
            .to_f32();
        let positions = upload(backend, &positions, hidden)?;
        let mut layers = Vec::with_capacity(shape.layers);
        for i in 0..shape.layers {
            progress(i, shape.layers);
            let name = |part: &str| format!("{tower}.encoder.layers.{i}.{part}");
            let norm = |backend: &mut B, part: &str| -> Result<[B::Buf; 2]> {
                let mut vector = |kind: &str| {
                    let name = name(&format!("{part}.{kind}"));
                    source.vector(backend, &name, hidden, Part::Vision)
                };
                Ok([vector("weight")?, vector("bias")?])
            };
            let square = [hidden, hidden];
            let key_value = [name("self_attn.k_proj"), name("self_attn.v_proj")];
            layers.push(Layer {
                norm1: norm(backend, "layer_norm1")?,
                query: linear(backend, &[name("self_attn.q_proj")], &square)?,
                key_value: linear(backend, &key_value, &square)?,
                output: linear(backend, &[name("self_attn.out_proj")], &square)?,
                norm2: norm(backend, "layer_norm2")?,
                up: linear(backend, &[name("mlp.fc1")], &[mlp, hidden])?,
                down: linear(backend, &[name("mlp.fc2")], &[hidden, mlp])?,
            });
        }
        let [first, second] = names.projector.map(String::from);
        let projector = [
            linear(backend, &[first], &[projected, hidden])?,
            linear(backend, &[second], &[projected, projected])?,
        ];
        let newline = source.take(names.newline, &[projected], Part::Vision)?;
        let newline = newline.view()?.to_f32();
        Ok(Self {
            shape,
            patch,
            positions,
            layers,
            projector,
            newline,
        })
    }

    /// `[views, 3, side, side]` → `[tokens, projected]`. The buffers live only for this call: images are
    /// encoded once, and their rows would otherwise weigh on every step.
    pub(crate) fn encode(
        &self,
        backend: &mut B,
        views: &Views,
        map: &RowMap,
        tap: &mut dyn Tap,
    ) -> Result<Vec<f32>> {
        let shape = &self.shape;
        let (patches, rows) = (shape.patches(), views.count * shape.patches());
        let patch_width = 3 * shape.patch_size * shape.patch_size;
        let pixels = upload(backend, &patchify(views, shape), patch_width)?;
        let mut x = backend.buf(rows, shape.hidden)?;
        let repeated: Vec<u32> = (0..rows).map(|r| (r % patches) as u32).collect();
        backend.combine(&self.positions, &RowMap::gather(&repeated), &mut x, 0)?;
        backend.linear(&pixels, &self.patch, Act::None, Into::Add, &mut x)?;
        drop(pixels);

        self.run_layers(backend, views.count, &mut x)?;
        read(backend, &x, rows, Signal::VisionFeatures, tap)?;

        let mut middle = backend.buf(rows, shape.projected)?;
        backend.linear(
            &x,
            &self.projector[0],
            Act::GeluErf,
            Into::Store,
            &mut middle,
        )?;
        drop(x);
        let mut projected = backend.buf(rows, shape.projected)?;
        backend.linear(
            &middle,
            &self.projector[1],
            Act::None,
            Into::Store,
            &mut projected,
        )?;
        drop(middle);
        read(backend, &projected, rows, Signal::Projected, tap)?;
        // One more row for the newline token, which the map reads like any other.
        backend.resize(&mut projected, rows + 1)?;
        backend.write(&self.newline, &mut projected, rows)?;

        let mut tokens = backend.buf(map.rows(), shape.projected)?;
        backend.combine(&projected, map, &mut tokens, 0)?;
        let mut features = Vec::with_capacity(map.rows() * shape.projected);
        backend.read(&tokens, 0..map.rows(), &mut features)?;
        Ok(features)
    }

    fn run_layers(&self, backend: &mut B, views: usize, x: &mut B::Buf) -> Result<()> {
        let VisionShape {
            hidden,
            mlp,
            heads,
            norm_eps,
            ..
        } = self.shape;
        let patches = self.shape.patches();
        let heads = Heads {
            count: heads,
            kv_count: heads,
            dim: hidden / heads,
        };
        let view = |v: usize| v * patches..(v + 1) * patches;
        let spans = (0..views)
            .map(|v| Span {
                queries: view(v),
                keys: view(v),
            })
            .collect();
        let plan = backend.plan(&Plan {
            spans,
            rotation: None,
            hidden: Vec::new(),
            asks: Vec::new(),
        })?;
        let mut n = backend.buf(0, hidden)?;
        let mut q = backend.buf(0, hidden)?;
        // Keys and values, then the MLP's activations: never needed at once.
        let mut wide = backend.buf(0, mlp)?;
        for layer in &self.layers {
            backend.norm(x, None, &layer_norm(&layer.norm1, norm_eps), &mut n)?;
            backend.linear(&n, &layer.query, Act::None, Into::Store, &mut q)?;
            backend.reshape(&mut wide, 2 * hidden);
            backend.linear(&n, &layer.key_value, Act::None, Into::Store, &mut wide)?;
            backend.attend(&Qkv::fresh(&q, &wide), &heads, &plan, None, &mut n)?;
            backend.linear(&n, &layer.output, Act::None, Into::Add, x)?;
            backend.norm(x, None, &layer_norm(&layer.norm2, norm_eps), &mut n)?;
            backend.reshape(&mut wide, mlp);
            backend.linear(&n, &layer.up, Act::GeluTanh, Into::Store, &mut wide)?;
            backend.linear(&wide, &layer.down, Act::None, Into::Add, x)?;
        }
        Ok(())
    }
}

fn layer_norm<Buf>(parts: &[Buf; 2], eps: f32) -> Norm<'_, Buf> {
    Norm {
        kind: NormKind::Layer,
        scale: &parts[0],
        shift: Some(&parts[1]),
        eps,
    }
}

/// `[views, 3, side, side]` → `[views · patches, 3 · patch · patch]`, patches row-major, channel first.
fn patchify(views: &Views, shape: &VisionShape) -> Vec<f32> {
    let (side, patch, grid) = (shape.image_size, shape.patch_size, shape.patches_per_side());
    let mut out = Vec::with_capacity(views.count * grid * grid * 3 * patch * patch);
    for view in 0..views.count {
        for (py, px) in (0..grid).flat_map(|y| (0..grid).map(move |x| (y, x))) {
            for channel in 0..3 {
                for y in 0..patch {
                    let row = ((view * 3 + channel) * side + py * patch + y) * side + px * patch;
                    out.extend_from_slice(&views.pixels[row..row + patch]);
                }
            }
        }
    }
    out
}
