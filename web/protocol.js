/**
 * The messages of the signalling socket as types; what they mean is written in
 * `src/signalling.rs`. Nothing here runs, so no page ever loads this file.
 *
 * @typedef {{ id: string, name: string, audio: boolean, video: boolean }} Person
 *
 * @typedef {object} MapTile One tile; edges in fractions of the canvas.
 * @property {string} id Whose.
 * @property {string} name
 * @property {number} x
 * @property {number} y
 * @property {number} width
 * @property {number} height
 * @property {boolean} live Moving pictures, not an avatar.
 *
 * @typedef {object} TileMap Who is where in the mix this page receives.
 * @property {'tiles'} type
 * @property {number} layout Grows with every change.
 * @property {number} rtpTime RTP timestamp of the first picture laid out so.
 * @property {number} width Canvas, pixels.
 * @property {number} height Canvas, pixels.
 * @property {'page' | 'picture'} names Who draws them.
 * @property {boolean} includesSelf
 * @property {MapTile[]} tiles
 *
 * @typedef {'h264' | 'vp8'} VideoCodec
 *
 * @typedef {object} Join
 * @property {'join'} type
 * @property {string} [name]
 * @property {boolean} view
 * @property {VideoCodec} [codec]
 * @property {string} [token]
 * @property {boolean} audio
 * @property {boolean} video
 * @property {boolean} portrait
 *
 * @typedef {Join
 *   | { type: 'offer', sdp: string }
 *   | { type: 'candidate', candidate: string, mid?: string }
 *   | { type: 'media', audio: boolean, video: boolean }
 *   | { type: 'leave' }} Command
 *
 * @typedef {object} Joined
 * @property {string} participant Who this page is from now on.
 * @property {string} room
 * @property {Person[]} people
 * @property {RTCIceServer[]} iceServers
 *
 * @typedef {{ sdp: string }} Answered
 *
 * @typedef {'bad_message' | 'too_large' | 'bad_name' | 'bad_sdp' | 'bad_candidate'
 *   | 'already_joined' | 'not_joined' | 'forbidden' | 'rate_limited' | 'unavailable'
 *   | 'timed_out' | 'internal'} ErrorCode
 *
 * @typedef {{ type: 'people', people: Person[], viewers: number }} PeopleNotice
 * @typedef {{ type: 'speaking', speaking: string[] }} SpeakingNotice
 * @typedef {{ type: 'notice', code: string, text: string }} TroubleNotice
 * @typedef {{ type: 'bye', reason: 'shutdown' | 'media_lost' | 'room_failed' }} Bye
 * @typedef {PeopleNotice | TileMap | SpeakingNotice | TroubleNotice | Bye} Notice
 *
 * @typedef {{ type: 'ack', id: number } & Partial<Joined> & Partial<Answered>} Ack
 * @typedef {{ type: 'error', id?: number, code: ErrorCode, text: string, closes: boolean }} Refusal
 * @typedef {Ack | Refusal | Notice} Message
 */

export {};
