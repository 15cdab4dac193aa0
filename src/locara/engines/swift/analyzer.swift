// Speech to text with SpeechAnalyzer (macOS 26): DictationTranscriber or SpeechTranscriber, fed over the wire.
// Started by locara.engines.apple_speech. Arguments: --model dictation|transcriber --locale en-US [--install]
//
// Experimental: nobody has run this on a Mac. It is compiled and run on Linux, against stand-ins for Apple's frameworks.
//
// Each segment of a turn (from one settle to the next) has an analyzer of its own: when that is finished, its stream of
// results ends, so nothing is left to guess about whether the last words have come.

import AVFoundation
import Foundation
import Speech

let soundRate = 16_000.0  // hertz, of what the parent sends

struct Refusal: Error {
    let message: String
    let hint: String
}

/// Gives a buffer the first time, nothing from then on. The converter asks on the thread that called it.
final class Once: @unchecked Sendable {
    private var given = false

    func take(_ buffer: AVAudioPCMBuffer) -> AVAudioPCMBuffer? {
        defer { given = true }
        return given ? nil : buffer
    }
}

/// From the parent's sound to what the analyzer wants. A buffer in another format gives no text, and no error either.
final class Converter {
    private let source: AVAudioFormat
    private let target: AVAudioFormat
    private let converter: AVAudioConverter?

    init(to target: AVAudioFormat) throws {
        guard
            let source = AVAudioFormat(
                commonFormat: .pcmFormatInt16, sampleRate: soundRate, channels: 1, interleaved: true)
        else { throw Refusal(message: "the format of 16-bit sound at 16 kHz is not known here", hint: "report this") }
        self.source = source
        self.target = target
        let same =
            target.commonFormat == source.commonFormat && target.sampleRate == source.sampleRate
            && target.channelCount == source.channelCount
        converter = same ? nil : AVAudioConverter(from: source, to: target)
        if !same && converter == nil {
            throw Refusal(message: "sound cannot be converted to what the analyzer wants: \(target)", hint: "report this")
        }
        converter?.primeMethod = .none  // priming would shift the sound in time
    }

    func reset() { converter?.reset() }

    func convert(_ pcm: Data) throws -> AVAudioPCMBuffer? {
        let count = pcm.count / 2
        guard count > 0, let input = AVAudioPCMBuffer(pcmFormat: source, frameCapacity: AVAudioFrameCount(count)) else {
            return nil
        }
        input.frameLength = AVAudioFrameCount(count)
        pcm.withUnsafeBytes { bytes in
            if let from = bytes.baseAddress, let to = input.int16ChannelData {
                memcpy(to[0], from, count * 2)
            }
        }
        guard let converter else { return input }
        let room = Int((Double(count) * target.sampleRate / soundRate).rounded(.up)) + 64
        guard let output = AVAudioPCMBuffer(pcmFormat: target, frameCapacity: AVAudioFrameCount(room)) else { return nil }
        let once = Once()
        var failure: NSError?
        // Never .endOfStream here: after it the converter makes no more sound.
        let status = converter.convert(to: output, error: &failure) { _, next in
            guard let buffer = once.take(input) else {
                next.pointee = .noDataNow
                return nil
            }
            next.pointee = .haveData
            return buffer
        }
        if status == .error {
            throw Refusal(message: "the sound could not be converted: \(failure?.localizedDescription ?? "?")", hint: "")
        }
        return output.frameLength > 0 ? output : nil
    }
}

@available(macOS 26.0, *)
final class Segment {
    let turn: Int
    let number: Int
    private let analyzer: SpeechAnalyzer
    private let input: AsyncStream<AnalyzerInput>.Continuation
    private let reading: Task<Void, Error>
    private var fed = false

    init(turn: Int, number: Int, ear: Ear) async throws {
        self.turn = turn
        self.number = number
        let (sequence, input) = AsyncStream.makeStream(of: AnalyzerInput.self)
        self.input = input
        // The results must be read before the analysis begins, and a module serves one analyzer only.
        switch ear.kind {
        case .dictation:
            let module = ear.dictation()
            analyzer = Segment.analyzer([module])
            reading = Segment.read(module, turn, number, ear.wire) { $0.text }
        case .transcriber:
            let module = ear.transcriber()
            analyzer = Segment.analyzer([module])
            reading = Segment.read(module, turn, number, ear.wire) { $0.text }
        }
        try await analyzer.prepareToAnalyze(in: ear.format)
        try await analyzer.start(inputSequence: sequence)
    }

    func feed(_ buffer: AVAudioPCMBuffer) {
        fed = true
        input.yield(AnalyzerInput(buffer: buffer))
    }

    /// Returns when every result of this segment has been said.
    func finish() async throws {
        input.finish()
        if fed {
            try await analyzer.finalizeAndFinishThroughEndOfInput()
        } else {
            await analyzer.cancelAndFinishNow()
        }
        try await reading.value
    }

    func drop() async {
        input.finish()
        reading.cancel()
        await analyzer.cancelAndFinishNow()
    }

    private static func analyzer(_ modules: [any SpeechModule]) -> SpeechAnalyzer {
        // Without these the model is loaded anew for each turn, and work for the screen comes first.
        let options = SpeechAnalyzer.Options(priority: .userInitiated, modelRetention: .processLifetime)
        return SpeechAnalyzer(modules: modules, options: options)
    }

    private static func read<Module: SpeechModule>(
        _ module: Module, _ turn: Int, _ number: Int, _ wire: Wire,
        text: @escaping @Sendable (Module.Result) -> AttributedString
    ) -> Task<Void, Error> {
        Task {
            for try await result in module.results {
                wire.say([
                    "type": result.isFinal ? "final" : "partial", "turn": turn, "segment": number,
                    "text": String(text(result).characters),
                ])
            }
        }
    }
}

@available(macOS 26.0, *)
final class Ear: @unchecked Sendable {
    enum Kind { case dictation, transcriber }

    let wire: Wire
    let kind: Kind
    private(set) var format: AVAudioFormat!
    private var locale: Locale!
    private var converter: Converter!
    private var segment: Segment?

    init(wire: Wire, kind: Kind) {
        self.wire = wire
        self.kind = kind
    }

    func dictation() -> DictationTranscriber {
        DictationTranscriber(
            locale: locale, contentHints: [], transcriptionOptions: [.punctuation],  // no masking of swear words
            reportingOptions: [.volatileResults], attributeOptions: [])
    }

    func transcriber() -> SpeechTranscriber {
        SpeechTranscriber(
            locale: locale, transcriptionOptions: [], reportingOptions: [.volatileResults, .fastResults],
            attributeOptions: [])
    }

    /// The language, the model's files, the format. Throws `Refusal`.
    func prepare(language: String, install: Bool) async throws {
        if kind == .transcriber && !SpeechTranscriber.isAvailable {
            throw Refusal(
                message: "SpeechTranscriber does not run on this Mac",
                hint: "use the model apple-dictation, which asks for less")
        }
        let wanted = Locale(identifier: language)
        let found =
            kind == .dictation
            ? await DictationTranscriber.supportedLocale(equivalentTo: wanted)
            : await SpeechTranscriber.supportedLocale(equivalentTo: wanted)
        guard let found else {
            let known = kind == .dictation ? await DictationTranscriber.supportedLocales : await SpeechTranscriber.supportedLocales
            let names = known.map { $0.identifier(.bcp47) }.sorted().joined(separator: ", ")
            throw Refusal(message: "the language \(language) is not supported", hint: "supported: \(names)")
        }
        locale = found
        let modules: [any SpeechModule] = kind == .dictation ? [dictation()] : [transcriber()]
        try await assets(for: modules, install: install)
        guard let best = await SpeechAnalyzer.bestAvailableAudioFormat(compatibleWith: modules) else {
            throw Refusal(
                message: "the analyzer names no sound format for \(language)",
                hint: "its files may be incomplete: choose the language again in System Settings > Keyboard > Dictation")
        }
        format = best
        converter = try Converter(to: best)
    }

    private func assets(for modules: [any SpeechModule], install: Bool) async throws {
        let name = locale.identifier(.bcp47)
        switch await AssetInventory.status(forModules: modules) {
        case .unsupported:
            throw Refusal(message: "this Mac cannot run Apple's speech model for \(name)", hint: "use a moonshine model")
        case .installed:
            break
        default:
            guard install else {
                throw Refusal(
                    message: "Apple's speech model for \(name) is not on this Mac",
                    hint: "let macOS download it: give the option install=true once, or choose the language in "
                        + "System Settings > Keyboard > Dictation")
            }
            await reserve()
            if let request = try await AssetInventory.assetInstallationRequest(supporting: modules) {
                try await request.downloadAndInstall()
            }
        }
        await reserve()
    }

    /// Keeps the system from removing the model. An app may hold only a few languages (5 on macOS 26): one that it holds
    /// and does not use now makes room. Without a reservation it still works, so this never fails.
    private func reserve() async {
        let name = locale.identifier(.bcp47)
        let held = await AssetInventory.reservedLocales
        if held.contains(where: { $0.identifier(.bcp47) == name }) { return }
        if held.count >= AssetInventory.maximumReservedLocales, let other = held.first {
            await AssetInventory.release(reservedLocale: other)
        }
        do {
            try await AssetInventory.reserve(locale: locale)
        } catch {
            FileHandle.standardError.write(Data("the language \(name) could not be reserved: \(error)\n".utf8))
        }
    }

    func take(_ frame: Frame) async {
        var turn = segment?.turn ?? 0
        do {
            switch frame {
            case .sound(let pcm):
                guard let segment, let buffer = try converter.convert(pcm) else { return }
                segment.feed(buffer)
            case .begin(let begun):
                turn = begun
                await segment?.drop()
                converter.reset()
                segment = try await Segment(turn: begun, number: 0, ear: self)
            case .settle(let asked, let number):
                guard let segment, segment.turn == asked, segment.number == number else { return }
                try await segment.finish()
                wire.say(["type": "done", "turn": asked, "segment": number])
                // Frames are taken one after the other, so the next one is there before its sound is.
                converter.reset()
                self.segment = try await Segment(turn: asked, number: number + 1, ear: self)
            case .drop(let dropped):
                guard let segment, segment.turn == dropped else { return }
                self.segment = nil
                await segment.drop()
            case .speak, .stop:
                break
            }
        } catch {
            segment = nil
            let refusal = error as? Refusal
            wire.say([
                "type": "error", "turn": turn, "message": refusal?.message ?? "SpeechAnalyzer failed: \(error)",
                "hint": refusal?.hint ?? "",
            ])
        }
    }
}

@main
struct Program {
    static func main() async {
        let wire = Wire()
        let arguments = Arguments()
        guard #available(macOS 26.0, *) else {
            wire.refuse("SpeechAnalyzer needs macOS 26", hint: "use a moonshine model, or apple-sfspeech")
        }
        let ear = Ear(wire: wire, kind: arguments["model"] == "transcriber" ? .transcriber : .dictation)
        do {
            try await ear.prepare(language: arguments["locale"] ?? "en-US", install: arguments.has("install"))
        } catch let refusal as Refusal {
            wire.refuse(refusal.message, hint: refusal.hint)
        } catch {
            wire.refuse(
                "SpeechAnalyzer could not be prepared: \(error)",
                hint: "look at System Settings > Privacy & Security > Speech Recognition")
        }
        let (stream, taken) = frames()
        wire.say(["type": "ready"])
        for await frame in stream {
            await ear.take(frame)
            taken.signal()
        }
    }
}
