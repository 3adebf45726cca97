//! What generated sources show: seeded moving pictures that cost an encoder about what a person
//! before a camera costs. A soft gradient, a textured background that drifts as if the camera
//! were held by hand, textured discs that sway before it, and sensor noise.

use std::f32::consts::TAU;

use rand::{RngExt, SeedableRng, rngs::SmallRng};

use super::picture::Picture;
use crate::media::Size;

/// Side of the square textures; they wrap around, so that drifting never runs out.
const TEXTURE: usize = 256;
/// How many discs sway.
const DISCS: usize = 3;

/// One source's moving picture.
#[derive(Debug)]
pub struct Scene {
    size: Size,
    /// Loop length in pictures: all motion returns to its start after so many.
    length: u32,
    background: Vec<i16>,
    noise: Vec<i16>,
    tint: (u8, u8),
    discs: [Disc; DISCS],
}

#[derive(Debug)]
struct Disc {
    texture: Vec<i16>,
    tint: (u8, u8),
    light: i16,
    /// Pixels.
    radius: f32,
    centre: (f32, f32),
    sway: (f32, f32),
    /// Whole turns in a loop, so that it closes.
    turns: (f32, f32),
    phase: (f32, f32),
}

impl Scene {
    /// The scene with this seed, repeating after `length` pictures.
    pub fn new(seed: u64, size: Size, length: u32) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let (width, height) = (size.width as f32, size.height as f32);
        let disc = |rng: &mut SmallRng, index: usize| Disc {
            texture: texture(rng, 30.0),
            tint: tint(rng),
            light: rng.random_range(80..170),
            radius: height * rng.random_range(0.14..0.26),
            centre: (
                width * (0.2 + 0.3 * index as f32),
                height * rng.random_range(0.4..0.6),
            ),
            sway: (
                width * rng.random_range(0.02..0.06),
                height * rng.random_range(0.02..0.08),
            ),
            turns: (
                rng.random_range(2..6_u8) as f32,
                rng.random_range(2..6_u8) as f32,
            ),
            phase: (rng.random_range(0.0..TAU), rng.random_range(0.0..TAU)),
        };
        Self {
            size,
            length,
            background: texture(&mut rng, 40.0),
            noise: (0..TEXTURE * TEXTURE)
                .map(|_| rng.random_range(-2..=2))
                .collect(),
            tint: tint(&mut rng),
            discs: [0, 1, 2].map(|index| disc(&mut rng, index)),
        }
    }

    /// Draws picture `number` of the loop over whatever was there.
    pub fn draw(&self, number: u32, picture: &mut Picture) {
        let turn = TAU * (number % self.length) as f32 / self.length as f32;
        self.draw_background(turn, picture);
        for disc in &self.discs {
            disc.draw(turn, picture);
        }
        self.add_noise(number, picture);
    }

    fn draw_background(&self, turn: f32, picture: &mut Picture) {
        let (width, height) = (self.size.width as usize, self.size.height as usize);
        let drift = (
            (8.0 + 7.0 * (2.0 * turn).sin()) as usize,
            (8.0 + 5.0 * (3.0 * turn).cos()) as usize,
        );
        let (luma, u, v) = picture.planes_mut();
        for (y, line) in luma.chunks_exact_mut(width).enumerate() {
            let row = &self.background[(y + drift.1) % TEXTURE * TEXTURE..][..TEXTURE];
            let slope = 60 + (y * 80 / height) as i16;
            for (x, pixel) in line.iter_mut().enumerate() {
                let light = slope + (x * 40 / width) as i16;
                *pixel = (light + row[(x + drift.0) % TEXTURE]).clamp(16, 235) as u8;
            }
        }
        u.fill(self.tint.0);
        v.fill(self.tint.1);
    }

    fn add_noise(&self, number: u32, picture: &mut Picture) {
        // Another part of the same noise for every picture; the step is prime to its length.
        let start = number as usize * 40_503;
        for (index, pixel) in picture.luma_mut().iter_mut().enumerate() {
            let noise = self.noise[(start + index) % self.noise.len()];
            *pixel = pixel.saturating_add_signed(noise as i8);
        }
    }
}

impl Disc {
    fn draw(&self, turn: f32, picture: &mut Picture) {
        let Size { width, height } = picture.size();
        let cx = self.centre.0 + self.sway.0 * (self.turns.0 * turn + self.phase.0).sin();
        let cy = self.centre.1 + self.sway.1 * (self.turns.1 * turn + self.phase.1).sin();
        let reach = self.radius * self.radius;
        let top = (cy - self.radius).max(0.0) as usize;
        let bottom = ((cy + self.radius) as usize).min(height as usize);
        let (luma, u, v) = picture.planes_mut();
        for y in top..bottom {
            let dy = y as f32 - cy;
            let half = (reach - dy * dy).max(0.0).sqrt();
            let left = (cx - half).max(0.0) as usize;
            let right = ((cx + half) as usize).min(width as usize);
            // The texture moves with the disc: (x - cx, y - cy), kept positive.
            let row = ((y + 4 * TEXTURE) as f32 - cy) as usize % TEXTURE * TEXTURE;
            let shift = (4 * TEXTURE) as f32 - cx;
            for x in left..right {
                let grain = self.texture[row + (x as f32 + shift) as usize % TEXTURE];
                luma[y * width as usize + x] = (self.light + grain).clamp(16, 235) as u8;
            }
            if y % 2 == 0 && left < right {
                let line = y / 2 * (width as usize / 2);
                u[line + left / 2..line + right / 2].fill(self.tint.0);
                v[line + left / 2..line + right / 2].fill(self.tint.1);
            }
        }
    }
}

fn tint(rng: &mut SmallRng) -> (u8, u8) {
    (rng.random_range(100..156), rng.random_range(100..156))
}

/// Value noise of four octaves that wraps around, within about `swing` of 0.
fn texture(rng: &mut SmallRng, swing: f32) -> Vec<i16> {
    let mut sum = vec![0.0f32; TEXTURE * TEXTURE];
    for (cells, weight) in [(4, 0.5), (16, 0.3), (64, 0.14), (128, 0.06)] {
        let lattice: Vec<f32> = (0..cells * cells)
            .map(|_| rng.random_range(-1.0..1.0))
            .collect();
        let step = TEXTURE / cells;
        let at = |x: usize, y: usize| lattice[(y % cells) * cells + x % cells];
        for (index, sum) in sum.iter_mut().enumerate() {
            let (x, y) = (index % TEXTURE, index / TEXTURE);
            let (column, row) = (x / step, y / step);
            let (right, down) = (
                (x % step) as f32 / step as f32,
                (y % step) as f32 / step as f32,
            );
            let upper = at(column, row) * (1.0 - right) + at(column + 1, row) * right;
            let lower = at(column, row + 1) * (1.0 - right) + at(column + 1, row + 1) * right;
            *sum += weight * (upper * (1.0 - down) + lower * down);
        }
    }
    sum.into_iter().map(|v| (v * swing) as i16).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(seed: u64, number: u32) -> Picture {
        let size = Size::new(320, 180);
        let mut picture = Picture::new(size);
        Scene::new(seed, size, 250).draw(number, &mut picture);
        picture
    }

    #[test]
    fn the_same_seed_gives_the_same_picture_and_another_seed_another() {
        assert_eq!(picture(1, 17), picture(1, 17));
        assert_ne!(picture(1, 17), picture(2, 17));
    }

    #[test]
    fn it_moves_a_little_from_picture_to_picture() {
        let (before, after) = (picture(3, 30), picture(3, 31));
        let difference: u32 = before
            .luma()
            .iter()
            .zip(after.luma())
            .map(|(a, b)| a.abs_diff(*b) as u32)
            .sum();
        let mean = difference as f64 / before.luma().len() as f64;
        assert!((0.5..12.0).contains(&mean), "{mean} a pixel");
    }
}
