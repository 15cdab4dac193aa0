// Speech to text with SFSpeechRecognizer (macOS 10.15), on this Mac only, fed over the wire.
// Started by locara.engines.apple_sfspeech. Arguments: --locale en-US
//
// It is a program of its own because macOS ends it with SIGABRT, before any question is asked, when the app that is
// responsible for it (the terminal) has no NSSpeechRecognitionUsageDescription.
//
// Experimental: nobody has run this on a Mac. It is compiled and run on Linux, against stand-ins for Apple's frameworks.

import AVFoundation
import Foundation
import Speech

let soundRate = 16_000.0  // hertz, of what the parent sends
let noSpeech = 1110  // kAFAssistantErrorDomain: nothing was said; that is no error for us

/// One request to the recogniser. Everything here happens on one serial queue.
final class Segment: @unchecked Sendable {
    let turn: Int
    let number: Int
    private let wire: Wire
    private let request = SFSpeechAudioBufferRecognitionRequest()
    private var task: SFSpeechRecognitionTask?
    private var settling = false
    private var over = false
    private var fed = false
    private var last = ""

    init(turn: Int, number: Int, recognizer: SFSpeechRecognizer, wire: Wire) {
        self.turn = turn
        self.number = number
        self.wire = wire
        request.shouldReportPartialResults = true
        request.requiresOnDeviceRecognition = true  // without it the sound may go to Apple
        request.taskHint = .dictation
        if #available(macOS 13.0, *) { request.addsPunctuation = true }
        task = recognizer.recognitionTask(with: request) { [weak self] result, error in
            self?.heard(result, error)
        }
    }

    func feed(_ buffer: AVAudioPCMBuffer) {
        fed = true
        request.append(buffer)
    }

    func settle() {
        settling = true
        if over || !fed {
            finish(last)
        } else {
            request.endAudio()
        }
    }

    func drop() {
        over = true
        settling = false
        task?.cancel()
    }

    private func heard(_ result: SFSpeechRecognitionResult?, _ error: Error?) {
        if over { return }
        if let result {
            last = result.bestTranscription.formattedString
            if result.isFinal {
                over = true
                if settling { finish(last) }
                return
            }
            wire.say(["type": "partial", "turn": turn, "segment": number, "text": last])
        }
        guard let error else { return }
        over = true
        if settling || (error as NSError).code == noSpeech {
            if settling { finish(last) }  // what it had understood by then stays
        } else {
            wire.say([
                "type": "error", "turn": turn, "message": "SFSpeechRecognizer failed: \(error.localizedDescription)",
                "hint": "turn on Dictation in System Settings > Keyboard, or use another recogniser",
            ])
        }
    }

    private func finish(_ text: String) {
        over = true
        settling = false
        if !text.isEmpty { wire.say(["type": "final", "turn": turn, "segment": number, "text": text]) }
        wire.say(["type": "done", "turn": turn, "segment": number])
        task?.cancel()
    }
}

final class Ear: @unchecked Sendable {
    private let wire: Wire
    private let recognizer: SFSpeechRecognizer
    private let format: AVAudioFormat
    private let queue: DispatchQueue
    private var turn = 0
    private var number = 0
    private var segment: Segment?
    private var finishing: Segment?  // kept while its last words come, although the next one may have begun

    init(wire: Wire, recognizer: SFSpeechRecognizer, format: AVAudioFormat) {
        self.wire = wire
        self.recognizer = recognizer
        self.format = format
        queue = DispatchQueue(label: "ear")
        let results = OperationQueue()
        results.underlyingQueue = queue
        results.maxConcurrentOperationCount = 1
        recognizer.queue = results
    }

    func take(_ frame: Frame) { queue.sync { act(frame) } }

    private func act(_ frame: Frame) {
        switch frame {
        case .sound(let pcm):
            guard turn != 0, let buffer = floats(pcm) else { return }
            // Made for its first sound: a request that waits for sound gives up with "no speech".
            let now = segment ?? Segment(turn: turn, number: number, recognizer: recognizer, wire: wire)
            segment = now
            now.feed(buffer)
        case .begin(let begun):
            leave()
            turn = begun
            number = 0
        case .settle(let asked, let settled):
            guard asked == turn, settled == number else { return }
            number += 1
            finishing = segment
            segment = nil
            if let finishing {
                finishing.settle()
            } else {
                wire.say(["type": "done", "turn": asked, "segment": settled])
            }
        case .drop(let dropped):
            if dropped == turn { leave() }
        case .speak, .stop:
            break
        }
    }

    private func leave() {
        segment?.drop()
        finishing?.drop()
        segment = nil
        finishing = nil
        turn = 0
    }

    private func floats(_ pcm: Data) -> AVAudioPCMBuffer? {
        let count = pcm.count / 2
        guard count > 0, let buffer = AVAudioPCMBuffer(pcmFormat: format, frameCapacity: AVAudioFrameCount(count)),
            let channel = buffer.floatChannelData?[0]
        else { return nil }
        buffer.frameLength = AVAudioFrameCount(count)
        pcm.withUnsafeBytes { bytes in
            for index in 0..<count {
                let sample = Int16(littleEndian: bytes.loadUnaligned(fromByteOffset: 2 * index, as: Int16.self))
                channel[index] = Float(sample) / 32_768
            }
        }
        return buffer
    }
}

func authorized(_ wire: Wire) {
    var status = SFSpeechRecognizer.authorizationStatus()
    if status == .notDetermined {
        let answer = Answer<SFSpeechRecognizerAuthorizationStatus>()
        SFSpeechRecognizer.requestAuthorization { answer.give($0) }
        guard let given = answer.wait(seconds: 60) else {
            wire.refuse("nobody answered whether speech may be recognised", hint: "answer the question of macOS, then try again")
        }
        status = given
    }
    if status != .authorized {
        wire.refuse(
            "macOS does not let this app recognise speech",
            hint: "System Settings > Privacy & Security > Speech Recognition: allow it for your terminal or app")
    }
}

@main
struct Program {
    static func main() {
        let wire = Wire()
        let locale = Arguments()["locale"] ?? "en-US"
        authorized(wire)
        guard let recognizer = SFSpeechRecognizer(locale: Locale(identifier: locale)) else {
            wire.refuse("SFSpeechRecognizer does not know the language \(locale)", hint: "for example en-US or de-DE")
        }
        guard recognizer.supportsOnDeviceRecognition else {
            wire.refuse(
                "\(locale) is not recognised on this Mac itself, and sound is not sent to Apple",
                hint: "turn on Dictation for this language in System Settings > Keyboard, or use a moonshine model")
        }
        guard recognizer.isAvailable, let format = AVAudioFormat(standardFormatWithSampleRate: soundRate, channels: 1)
        else {
            wire.refuse("SFSpeechRecognizer is not available now", hint: "turn on Siri or Dictation, then try again")
        }
        let ear = Ear(wire: wire, recognizer: recognizer, format: format)
        wire.say(["type": "ready"])
        while let frame = nextFrame() { ear.take(frame) }
        _exit(0)
    }
}
