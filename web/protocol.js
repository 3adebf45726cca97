/**
 * The messages of the signalling socket as types; what they mean is written in
 * `src/signalling.rs`. Nothing here runs, so no page ever loads this file.
 *
 * @typedef {object} Person
 * @property {string} id
 * @property {string} name
 * @property {boolean} audio
 * @property {boolean} video
 * @property {boolean} [host] May moderate.
 * @property {boolean} [silenced] Muted by a host; only a host can undo it.
 * @property {number} [hand] Raised: their place in the order, from 1.
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
 * @property {string} [session]
 * @property {boolean} audio
 * @property {boolean} video
 * @property {boolean} portrait
 * @property {Quality} [quality]
 *
 * @typedef {'auto' | 'high' | 'medium' | 'low' | 'audio'} Quality What is to be had at most.
 *
 * @typedef {Join
 *   | { type: 'resume', session: string }
 *   | { type: 'offer', sdp: string }
 *   | { type: 'candidate', candidate: string, mid?: string }
 *   | { type: 'media', audio: boolean, video: boolean }
 *   | { type: 'chat', text: string, to?: string }
 *   | { type: 'react', reaction: Reaction }
 *   | { type: 'hand', raised: boolean }
 *   | { type: 'moderate', act: Act, who?: string }
 *   | { type: 'quality', quality: Quality }
 *   | { type: 'ping' }
 *   | { type: 'leave' }} Command
 *
 * @typedef {'thumbs' | 'clap' | 'heart' | 'laugh' | 'wow' | 'party'} Reaction
 * @typedef {'mute' | 'unmute' | 'lower' | 'host' | 'remove' | 'lock' | 'unlock' | 'end' | 'hold' | 'unhold' | 'admit' | 'refuse'} Act
 *
 * @typedef {object} Joined
 * @property {string} participant Who this page is from now on.
 * @property {string} room
 * @property {Person[]} people
 * @property {RTCIceServer[]} iceServers
 *
 * @typedef {{ sdp: string }} Answered
 * @typedef {{ waiting: true }} Waits
 *
 * @typedef {{ id: string, name: string }} Knocking Somebody who waits to be let in.
 *
 * @typedef {'bad_message' | 'too_large' | 'bad_name' | 'bad_sdp' | 'bad_candidate'
 *   | 'already_joined' | 'not_joined' | 'no_seat' | 'forbidden' | 'rate_limited' | 'unavailable'
 *   | 'no_room' | 'timed_out' | 'internal' | 'locked' | 'removed' | 'not_admitted' | 'slow_down' | 'bad_text'
 *   | 'not_there'} ErrorCode
 *
 * @typedef {{ type: 'people', people: Person[], viewers: number, locked?: boolean, held?: boolean }} PeopleNotice
 * @typedef {object} ChatLine
 * @property {'chat'} type
 * @property {string} from
 * @property {string} name Of who wrote it, who may have left since.
 * @property {string} text
 * @property {number} at ms since 1970.
 * @property {string} [to] Only they and the sender get it.
 * @property {boolean} past Written before this page came.
 *
 * @typedef {{ type: 'reaction', from: string, reaction: Reaction }} ReactionNotice
 * @typedef {{ type: 'speaking', speaking: string[] }} SpeakingNotice
 * @typedef {object} Uplink What to send of the own picture; all 0: nobody sees it.
 * @property {number} height Lines.
 * @property {number} fps
 * @property {number} bitrate Bit/s.
 * @typedef {Uplink & { type: 'uplink' }} UplinkNotice
 * @typedef {{ type: 'notice', code: string, text: string }} TroubleNotice
 * @typedef {{ type: 'bye', reason: 'shutdown' | 'media_lost' | 'room_failed' | 'removed' | 'ended' | 'replaced' | 'refused' | 'sends_too_much' }} Bye
 * @typedef {{ type: 'waiting', waiting: Knocking[] }} WaitingNotice For hosts.
 * @typedef {{ type: 'admitted' }} Admitted The wait is over: join again.
 * @typedef {object} TierNotice What this page gets from now on.
 * @property {'tier'} type
 * @property {'high' | 'medium' | 'low' | 'audio'} tier
 * @property {Quality} quality What was chosen.
 * @property {'chosen' | 'line' | 'server'} because
 * @property {number} bitrate bit/s of the picture.
 *
 * @typedef {WaitingNotice | Admitted | PeopleNotice | TileMap | TierNotice | SpeakingNotice | TroubleNotice | UplinkNotice | Bye | ChatLine | ReactionNotice} Notice
 *
 * @typedef {{ type: 'ack', id: number } & Partial<Joined> & Partial<Answered> & Partial<Waits>} Ack
 * @typedef {{ type: 'error', id?: number, code: ErrorCode, text: string, closes: boolean }} Refusal
 * @typedef {Ack | Refusal | Notice} Message
 */

export {};
