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
 * @property {boolean} [pinned] Kept in the picture by a host.
 * @property {boolean} [sharing] Shows their screen.
 *
 * @typedef {object} MapTile One tile; edges in fractions of the canvas.
 * @property {string} id Whose.
 * @property {string} name
 * @property {number} x
 * @property {number} y
 * @property {number} width
 * @property {number} height
 * @property {boolean} live Moving pictures, not an avatar.
 * @property {boolean} [share] It is their screen.
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
 * @property {boolean} overlay
 * @property {boolean} direct
 * @property {Quality} [quality]
 *
 * @typedef {'grid' | 'speaker' | 'presentation' | 'solo'} Layout
 * @typedef {'mixed' | 'forwarded' | 'direct'} Downlink By which way others come.
 * @typedef {'mesh' | 'sfu' | 'mcu'} Topology
 * @typedef {{ layout?: Layout | null, overlay?: boolean, portrait?: boolean, downlink?: Downlink, direct?: boolean }} View What is absent stays as it was.
 *
 * @typedef {'auto' | 'high' | 'medium' | 'low' | 'audio'} Quality What is to be had at most.
 *
 * @typedef {Join
 *   | { type: 'resume', session: string }
 *   | { type: 'offer', sdp: string }
 *   | { type: 'candidate', candidate: string, mid?: string }
 *   | { type: 'media', audio: boolean, video: boolean }
 *   | { type: 'chat', text: string, to?: string }
 *   | { type: 'file', name: string, size: number, to?: string }
 *   | { type: 'react', reaction: Reaction }
 *   | { type: 'hand', raised: boolean }
 *   | { type: 'moderate', act: Act, who?: string }
 *   | { type: 'configure', layout?: Layout, stage_size?: number, topology?: Topology | 'auto' }
 *   | { type: 'take', from: string, sdp: string }
 *   | { type: 'drop', from: string }
 *   | { type: 'sizes', lines: Record<string, number> }
 *   | { type: 'relay', to: string, signal: Signal }
 *   | { type: 'view' } & View
 *   | { type: 'share', on: boolean }
 *   | { type: 'quality', quality: Quality }
 *   | { type: 'record', on: boolean }
 *   | { type: 'volume', who: string, gain: number }
 *   | { type: 'ping' }
 *   | { type: 'leave' }} Command
 *
 * @typedef {{ kind: 'offer' | 'answer', introduction: number, sdp: string } | { kind: 'candidate', introduction: number, candidate: string, mid: string } | { kind: 'again' }} Signal What two pages say to each other.
 *
 * @typedef {'thumbs' | 'clap' | 'heart' | 'laugh' | 'wow' | 'party'} Reaction
 * @typedef {'mute' | 'unmute' | 'lower' | 'host' | 'pin' | 'unpin' | 'remove' | 'lock' | 'unlock' | 'end' | 'hold' | 'unhold' | 'admit' | 'refuse'} Act
 *
 * @typedef {object} Joined
 * @property {string} participant Who this page is from now on.
 * @property {string} room
 * @property {Person[]} people
 * @property {RTCIceServer[]} iceServers
 * @property {number} [stun_port] Of the server; answers STUN.
 *
 * @typedef {{ sdp: string }} Answered
 * @typedef {{ waiting: true }} Waits
 *
 * @typedef {{ id: string, name: string }} Knocking Somebody who waits to be let in.
 *
 * @typedef {'bad_message' | 'too_large' | 'bad_name' | 'bad_sdp' | 'bad_candidate'
 *   | 'already_joined' | 'not_joined' | 'no_seat' | 'forbidden' | 'rate_limited' | 'unavailable'
 *   | 'timed_out' | 'internal' | 'locked' | 'removed' | 'not_admitted' | 'slow_down' | 'bad_text' | 'bad_file'
 *   | 'files_full' | 'bad_value' | 'not_host' | 'no_room' | 'not_there' | 'not_direct' | 'cannot_record'} ErrorCode
 *
 * @typedef {{ type: 'people', people: Person[], viewers: number, locked?: boolean, held?: boolean, layout?: Layout, stage_size?: number, topology?: Topology }} PeopleNotice
 * @typedef {object} ChatLine
 * @property {'chat'} type
 * @property {string} from
 * @property {string} name Of who wrote it, who may have left since.
 * @property {string} text Or the name of the file.
 * @property {{ size: number, url: string }} [file]
 * @property {number} at ms since 1970.
 * @property {string} [to] Only they and the sender get it.
 * @property {boolean} past Written before this page came.
 *
 * @typedef {{ type: 'relay', from: string, signal: Signal }} RelayNotice
 * @typedef {{ type: 'reaction', from: string, reaction: Reaction }} ReactionNotice
 * @typedef {{ type: 'speaking', speaking: string[] }} SpeakingNotice
 * @typedef {{ type: 'notice', code: string, text: string }} TroubleNotice
 * @typedef {{ type: 'bye', reason: 'shutdown' | 'media_lost' | 'room_failed' | 'removed' | 'ended' | 'replaced' | 'refused' | 'sends_too_much' }} Bye
 * @typedef {{ type: 'waiting', waiting: Knocking[] }} WaitingNotice For hosts.
 * @typedef {{ type: 'admitted' }} Admitted The wait is over: join again.
 * @typedef {{ type: 'tier', tier: Exclude<Quality, 'auto'>, quality: Quality, because: 'chosen' | 'line' | 'server', bitrate: number }} TierNotice What this page gets, and why.
 * @typedef {{ type: 'uplink', height: number, fps: number, bitrate: number, half?: boolean, codec?: VideoCodec }} UplinkNotice What the others are shown of this page's video at most; all 0: nothing but, if `half`, a small copy.
 * @typedef {{ type: 'recording', on: boolean, since: number | null }} RecordingNotice `since` in ms since 1970.
 * @typedef {'good' | 'fair' | 'poor'} LinkQuality
 * @typedef {{ type: 'links', links: Record<string, LinkQuality> }} LinksNotice How the connections of these are; all others' are good.
 * @typedef {RelayNotice | WaitingNotice | Admitted | PeopleNotice | TierNotice | UplinkNotice | RecordingNotice | LinksNotice | TileMap | SpeakingNotice | TroubleNotice | Bye | ChatLine | ReactionNotice} Notice
 *
 * @typedef {{ type: 'ack', id: number } & Partial<Joined> & Partial<Answered> & Partial<Waits>} Ack
 * @typedef {{ type: 'error', id?: number, code: ErrorCode, text: string, closes: boolean }} Refusal
 * @typedef {Ack | Refusal | Notice} Message
 */

export {};
