// Text to speech with AVSpeechSynthesizer (macOS 10.15; word marks from macOS 13, Personal Voice from macOS 14).
// Started by locara.engines.apple_avspeech.
// Arguments: [--voice ID-or-name] [--language en-US] [--rate 0.5] [--pitch 1.0] [--personal]
//
// The synthesiser hands out its buffers on the main run loop, so that belongs to it; frames are read on another thread.
//
// Experimental: nobody has run this on a Mac. It is compiled and run on Linux, against stand-ins for Apple's frameworks.

import AVFoundation
import Foundation

let pieceSamples = 4_096  // about a fifth of a second in a line

/// Everything here happens on the main thread.
final class Speaker: @unchecked Sendable {
    private let wire: Wire
    private let voice: AVSpeechSynthesisVoice
    private let rate: Float
    private let pitch: Float
    private var synthesizer = AVSpeechSynthesizer()
    private var current = 0  // the text that is spoken; a stopped one may go on for a while, under its old number
    private var frameBytes = 0
    private var early: [AVSpeechSynthesisMarker] = []

    init(wire: Wire, voice: AVSpeechSynthesisVoice, rate: Float, pitch: Float) {
        self.wire = wire
        self.voice = voice
        self.rate = rate
        self.pitch = pitch
    }

    func speak(_ id: Int, _ text: String) {
        stop(current)
        current = id
        frameBytes = 0
        early = []
        let utterance = AVSpeechUtterance(string: text)
        utterance.voice = voice
        utterance.rate = rate
        utterance.pitchMultiplier = pitch
        if #available(macOS 13.0, *) {
            synthesizer.write(utterance, toBufferCallback: { [weak self] in self?.took($0, id) },
                toMarkerCallback: { [weak self] in self?.marked($0, id) })
        } else {
            synthesizer.write(utterance) { [weak self] in self?.took($0, id) }
        }
    }

    func stop(_ id: Int) {
        guard id != 0, id == current else { return }
        current = 0
        synthesizer.stopSpeaking(at: .immediate)
        synthesizer = AVSpeechSynthesizer()  // what the old one still has in its queue must not keep the next text waiting
    }

    private func took(_ buffer: AVAudioBuffer, _ id: Int) {
        guard id == current else { return }
        guard let sound = buffer as? AVAudioPCMBuffer, sound.frameLength > 0 else {
            current = 0
            wire.say(["type": "done", "id": id])  // an empty buffer is the end
            return
        }
        guard let samples = pcm16(sound) else {
            current = 0
            wire.say([
                "type": "error", "id": id, "message": "the voice makes sound in a format that is not known: \(sound.format)",
                "hint": "choose another voice",
            ])
            return
        }
        if frameBytes == 0 {
            frameBytes = bytesOfFrame(sound.format)
            marked(early, id)
            early = []
        }
        for start in stride(from: 0, to: samples.count, by: pieceSamples) {
            let piece = samples[start..<min(start + pieceSamples, samples.count)]
            let data = piece.withUnsafeBufferPointer { Data(buffer: $0) }
            wire.say([
                "type": "sound", "id": id, "rate": Int(sound.format.sampleRate), "pcm": data.base64EncodedString(),
            ])
        }
    }

    /// Words, with the sample at which they begin; before the first buffer the size of a sample is not known.
    private func marked(_ markers: [AVSpeechSynthesisMarker], _ id: Int) {
        guard id == current else { return }
        if frameBytes == 0 {
            early += markers
            return
        }
        for marker in markers where marker.mark == .word {
            let range = marker.textRange
            wire.say([
                "type": "word", "id": id, "at": Int(marker.byteSampleOffset) / frameBytes, "start": range.location,
                "end": range.location + range.length,
            ])
        }
    }
}

func bytesOfFrame(_ format: AVAudioFormat) -> Int {
    let sample = format.commonFormat == .pcmFormatInt16 ? 2 : 4
    return format.isInterleaved ? sample * Int(format.channelCount) : sample
}

/// The first channel as 16-bit samples. The voices of a Mac differ: floats, 16-bit and 32-bit integers were all seen.
func pcm16(_ buffer: AVAudioPCMBuffer) -> [Int16]? {
    let count = Int(buffer.frameLength)
    let step = buffer.stride
    switch buffer.format.commonFormat {
    case .pcmFormatFloat32:
        guard let from = buffer.floatChannelData?[0] else { return nil }
        return (0..<count).map { Int16(max(-1, min(1, from[$0 * step])) * 32_767) }
    case .pcmFormatInt16:
        guard let from = buffer.int16ChannelData?[0] else { return nil }
        return (0..<count).map { from[$0 * step] }
    case .pcmFormatInt32:
        guard let from = buffer.int32ChannelData?[0] else { return nil }
        return (0..<count).map { Int16(truncatingIfNeeded: from[$0 * step] >> 16) }
    default:
        return nil
    }
}

func isPersonal(_ voice: AVSpeechSynthesisVoice) -> Bool {
    if #available(macOS 14.0, *) { return voice.voiceTraits.contains(.isPersonalVoice) }
    return false
}

/// Asks for the voices that people have made of themselves. Another app may use them only if their owner agrees.
func askForPersonalVoice(_ wire: Wire) {
    guard #available(macOS 14.0, *) else {
        wire.refuse("Personal Voice needs macOS 14", hint: "leave the option personal out")
    }
    let answer = Answer<AVSpeechSynthesizer.PersonalVoiceAuthorizationStatus>()
    AVSpeechSynthesizer.requestPersonalVoiceAuthorization { answer.give($0) }
    let given = answer.wait(seconds: 50)
    if given != .authorized {
        wire.refuse(
            given == .unsupported
                ? "this Mac has no Personal Voice"
                : given == nil
                    ? "nobody answered whether your Personal Voice may be used" : "your Personal Voice may not be used here",
            hint: "System Settings > Accessibility > Personal Voice: make one, and allow applications to use it")
    }
}

func choose(_ wire: Wire, _ arguments: Arguments) -> AVSpeechSynthesisVoice {
    let all = AVSpeechSynthesisVoice.speechVoices()
    if let wanted = arguments["voice"], !wanted.isEmpty {
        if let exact = all.first(where: { $0.identifier == wanted }) { return exact }
        let named = all.filter { $0.name.lowercased() == wanted.lowercased() }
        if let best = named.max(by: { $0.quality.rawValue < $1.quality.rawValue }) { return best }
        let some = all.prefix(12).map { "\($0.name) (\($0.language))" }.joined(separator: ", ")
        wire.refuse("this Mac has no voice \(wanted)", hint: "it has \(some); more are in System Settings > Accessibility")
    }
    if arguments.has("personal"), let own = all.first(where: isPersonal) { return own }
    if arguments.has("personal") {
        wire.refuse("there is no Personal Voice on this Mac", hint: "make one in System Settings > Accessibility")
    }
    let language = arguments["language"]
    if let voice = AVSpeechSynthesisVoice(language: language) { return voice }
    let languages = Set(all.map { $0.language }).sorted().joined(separator: ", ")
    wire.refuse("this Mac has no voice for \(language ?? "its own language")", hint: "it has voices for \(languages)")
}

@main
struct Program {
    static func main() {
        let wire = Wire()
        let arguments = Arguments()
        if arguments.has("personal") { askForPersonalVoice(wire) }
        let voice = choose(wire, arguments)
        let speaker = Speaker(
            wire: wire, voice: voice, rate: Float(arguments["rate"] ?? "") ?? AVSpeechUtteranceDefaultSpeechRate,
            pitch: Float(arguments["pitch"] ?? "") ?? 1)
        let voices: [[String: Any]] = AVSpeechSynthesisVoice.speechVoices().map {
            [
                "id": $0.identifier, "name": $0.name, "language": $0.language, "quality": $0.quality.rawValue,
                "personal": isPersonal($0),
            ]
        }
        wire.say(["type": "ready", "language": voice.language, "note": voice.name, "voices": voices])
        Thread.detachNewThread {
            while let frame = nextFrame() {
                DispatchQueue.main.async {
                    switch frame {
                    case .speak(let id, let text): speaker.speak(id, text)
                    case .stop(let id): speaker.stop(id)
                    default: break
                    }
                }
            }
            _exit(0)  // at once: there is nobody left to work for
        }
        RunLoop.main.run()
    }
}
