//! The people of the demonstration, drawn with ellipses before a soft background: they sway,
//! blink, and move their mouths with their voices.

use std::f32::consts::TAU;

use super::picture::{Colour, Picture};

/// Somebody to look at and listen to.
#[derive(Debug, Clone, Copy)]
pub struct Persona {
    /// Display name.
    pub name: &'static str,
    /// Of the voice, Hz.
    pub pitch: f32,
    backdrop: [(u8, u8, u8); 2],
    skin: (u8, u8, u8),
    hair: (u8, u8, u8),
    shirt: (u8, u8, u8),
    long_hair: bool,
}

/// Who takes part, in the order in which they speak.
pub const PERSONAS: [Persona; 4] = [
    Persona {
        name: "Ada",
        pitch: 205.0,
        backdrop: [(94, 84, 142), (190, 149, 196)],
        skin: (240, 200, 170),
        hair: (58, 36, 24),
        shirt: (159, 134, 192),
        long_hair: true,
    },
    Persona {
        name: "Alan",
        pitch: 118.0,
        backdrop: [(20, 93, 110), (123, 190, 181)],
        skin: (236, 196, 164),
        hair: (84, 58, 36),
        shirt: (38, 70, 83),
        long_hair: false,
    },
    Persona {
        name: "Grace",
        pitch: 185.0,
        backdrop: [(176, 78, 60), (244, 178, 122)],
        skin: (198, 146, 108),
        hair: (32, 26, 28),
        shirt: (240, 228, 206),
        long_hair: true,
    },
    Persona {
        name: "Edsger",
        pitch: 104.0,
        backdrop: [(52, 92, 58), (168, 196, 120)],
        skin: (244, 208, 184),
        hair: (176, 172, 166),
        shirt: (92, 64, 52),
        long_hair: false,
    },
];

/// The state of a face.
#[derive(Debug, Clone, Copy)]
pub struct Face {
    /// Place in the loop: all motion repeats after 1.
    pub turn: f32,
    /// Mouth: 0 closed, 1 wide open.
    pub open: f32,
    /// Eyes are closed.
    pub blink: bool,
}

impl Persona {
    /// Draws the person over whatever was there.
    pub fn draw(&self, face: Face, picture: &mut Picture) {
        let unit = picture.size().height as f32 / 100.0;
        let middle = picture.size().width as f32 / 2.0;
        let [top, bottom] = self.backdrop.map(rgb);
        picture.gradient(top, bottom);
        self.draw_lights(face.turn, unit, picture);

        let sway = 2.2 * unit * (5.0 * TAU * face.turn).sin();
        let nod = unit * (0.8 * (7.0 * TAU * face.turn).sin() - 1.5 * face.open);
        let (x, y) = (middle + sway, 46.0 * unit + nod);
        let mut part = |dx: f32, dy: f32, rx: f32, ry: f32, colour: Colour| {
            let centre = (x + dx * unit, y + dy * unit);
            picture.ellipse(centre, (rx * unit, ry * unit), colour, 1.0);
        };
        let (skin, hair) = (rgb(self.skin), rgb(self.hair));
        let dark = rgb((40, 28, 30));
        if self.long_hair {
            part(0.0, 8.0, 25.0, 33.0, hair);
        }
        part(-sway / unit * 0.5, 66.0, 42.0, 34.0, rgb(self.shirt));
        part(0.0, 26.0, 8.5, 14.0, skin.towards(dark, 0.15));
        part(-19.5, 2.0, 3.5, 5.5, skin);
        part(19.5, 2.0, 3.5, 5.5, skin);
        part(0.0, -6.0, 21.0, 22.0, hair);
        part(0.0, 2.0, 19.0, 24.0, skin);
        // Hair over the forehead.
        part(-6.0, -18.0, 15.0, 7.0, hair);
        part(9.0, -18.5, 12.0, 6.0, hair);
        for side in [-7.5, 7.5] {
            part(side, -7.0, 4.6, 0.9, hair);
            if face.blink {
                part(side, -1.0, 3.4, 0.5, dark);
            } else {
                part(side, -1.0, 3.4, 2.6, rgb((252, 250, 248)));
                part(side + 0.4 * sway / unit, -0.9, 1.5, 1.7, dark);
            }
        }
        part(0.0, 5.0, 2.0, 2.6, skin.towards(dark, 0.12));
        let (wide, high) = (6.6 - 1.4 * face.open, 0.8 + 4.2 * face.open);
        part(0.0, 13.5, wide + 0.9, high + 0.9, rgb((186, 92, 88)));
        part(0.0, 13.5, wide, high, rgb((92, 32, 38)));
    }

    /// Soft lights that drift behind the person.
    fn draw_lights(&self, turn: f32, unit: f32, picture: &mut Picture) {
        let light = rgb(self.backdrop[1]).towards(rgb((255, 250, 235)), 0.5);
        for n in 0..6 {
            let n = n as f32;
            let along = (1.0 + n % 2.0) * TAU * turn + n * 1.3;
            let centre = (
                (20.0 + 28.0 * n + 7.0 * along.sin()) * unit,
                (30.0 + 9.0 * (n * 2.1).sin() * 3.0 + 5.0 * along.cos()) * unit,
            );
            let radius = (7.0 + 2.5 * (n * 1.7).cos()) * unit;
            picture.ellipse(centre, (radius, radius), light, 0.22);
        }
    }
}

fn rgb((red, green, blue): (u8, u8, u8)) -> Colour {
    Colour::rgb(red, green, blue)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Size;

    fn drawn(persona: &Persona, face: Face) -> Picture {
        let mut picture = Picture::new(Size::new(320, 184));
        persona.draw(face, &mut picture);
        picture
    }

    fn differing(a: &Picture, b: &Picture) -> usize {
        let pairs = a.luma().iter().zip(b.luma());
        pairs.filter(|(a, b)| a.abs_diff(**b) > 8).count()
    }

    #[test]
    fn everybody_is_somebody_else_and_moves() {
        let still = Face {
            turn: 0.2,
            open: 0.0,
            blink: false,
        };
        let first = drawn(&PERSONAS[0], still);
        for other in &PERSONAS[1..] {
            assert!(differing(&first, &drawn(other, still)) > 10_000);
        }
        let (open, blink) = (
            Face { open: 1.0, ..still },
            Face {
                blink: true,
                ..still
            },
        );
        for change in [
            open,
            blink,
            Face {
                turn: 0.25,
                ..still
            },
        ] {
            let changed = differing(&first, &drawn(&PERSONAS[0], change));
            assert!((50..40_000).contains(&changed), "{changed} for {change:?}");
        }
    }

    #[test]
    fn the_loop_closes() {
        let face = |turn| Face {
            turn,
            open: 0.0,
            blink: false,
        };
        let (start, end) = (
            drawn(&PERSONAS[2], face(0.0)),
            drawn(&PERSONAS[2], face(1.0)),
        );
        assert!(differing(&start, &end) < 50);
    }
}
