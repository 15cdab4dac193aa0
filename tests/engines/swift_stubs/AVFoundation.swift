// A stand-in for Apple's AVFoundation: the names and types that Locara's sidecars use, as Apple documents them, so that
// they can be compiled and run on Linux. It speaks a square wave: a twentieth of a second for each word.

import Foundation

public typealias AVAudioFrameCount = UInt32
public typealias AVAudioChannelCount = UInt32

public enum AVAudioCommonFormat: UInt { case otherFormat, pcmFormatFloat32, pcmFormatFloat64, pcmFormatInt16, pcmFormatInt32 }

public class AVAudioFormat: NSObject, @unchecked Sendable {
    public let commonFormat: AVAudioCommonFormat
    public let sampleRate: Double
    public let channelCount: AVAudioChannelCount
    public let isInterleaved: Bool

    public init?(commonFormat: AVAudioCommonFormat, sampleRate: Double, channels: AVAudioChannelCount, interleaved: Bool) {
        self.commonFormat = commonFormat
        self.sampleRate = sampleRate
        channelCount = channels
        isInterleaved = interleaved
    }

    public convenience init?(standardFormatWithSampleRate rate: Double, channels: AVAudioChannelCount) {
        self.init(commonFormat: .pcmFormatFloat32, sampleRate: rate, channels: channels, interleaved: false)
    }
}

public class AVAudioBuffer: NSObject {
    public let format: AVAudioFormat
    init(format: AVAudioFormat) { self.format = format }
}

public class AVAudioPCMBuffer: AVAudioBuffer {
    public let frameCapacity: AVAudioFrameCount
    public var frameLength: AVAudioFrameCount = 0
    public var stride: Int { format.isInterleaved ? Int(format.channelCount) : 1 }
    private let memory: UnsafeMutableRawPointer
    private let pointer: UnsafeMutablePointer<UnsafeMutableRawPointer>

    public init?(pcmFormat: AVAudioFormat, frameCapacity: AVAudioFrameCount) {
        self.frameCapacity = frameCapacity
        memory = .allocate(byteCount: max(1, Int(frameCapacity) * 4 * Int(pcmFormat.channelCount)), alignment: 16)
        pointer = .allocate(capacity: 1)
        pointer.pointee = memory
        super.init(format: pcmFormat)
    }

    deinit {
        memory.deallocate()
        pointer.deallocate()
    }

    private func channels<T>(_ type: T.Type, _ wanted: AVAudioCommonFormat) -> UnsafePointer<UnsafeMutablePointer<T>>? {
        guard format.commonFormat == wanted else { return nil }
        return UnsafeRawPointer(pointer).assumingMemoryBound(to: UnsafeMutablePointer<T>.self)
    }

    public var floatChannelData: UnsafePointer<UnsafeMutablePointer<Float>>? { channels(Float.self, .pcmFormatFloat32) }
    public var int16ChannelData: UnsafePointer<UnsafeMutablePointer<Int16>>? { channels(Int16.self, .pcmFormatInt16) }
    public var int32ChannelData: UnsafePointer<UnsafeMutablePointer<Int32>>? { channels(Int32.self, .pcmFormatInt32) }
}

public enum AVAudioConverterInputStatus: Int { case haveData, noDataNow, endOfStream }
public enum AVAudioConverterOutputStatus: Int { case haveData, inputRanDry, endOfStream, error }
public enum AVAudioConverterPrimeMethod: Int { case pre, normal, none }
public typealias AVAudioConverterInputBlock = @Sendable (AVAudioFrameCount, UnsafeMutablePointer<AVAudioConverterInputStatus>) -> AVAudioBuffer?
public typealias NSErrorPointer = AutoreleasingUnsafeMutablePointer<NSError?>?
public typealias AutoreleasingUnsafeMutablePointer = UnsafeMutablePointer

public class AVAudioConverter: NSObject {
    public var primeMethod: AVAudioConverterPrimeMethod = .pre
    private let rates: (Double, Double)
    public init?(from: AVAudioFormat, to: AVAudioFormat) { rates = (from.sampleRate, to.sampleRate) }
    public func reset() {}

    /// Converts 16-bit to float by repeating samples; as the real one, it makes nothing more after `.endOfStream`.
    public func convert(
        to output: AVAudioPCMBuffer, error: NSErrorPointer, withInputFrom block: AVAudioConverterInputBlock
    ) -> AVAudioConverterOutputStatus {
        var status = AVAudioConverterInputStatus.noDataNow
        guard let input = block(output.frameCapacity, &status) as? AVAudioPCMBuffer, status == .haveData else {
            return status == .endOfStream ? .endOfStream : .inputRanDry
        }
        var count = Int(Double(input.frameLength) * rates.1 / rates.0)
        count = min(count, Int(output.frameCapacity))
        for index in 0..<count {
            let sample = input.int16ChannelData![0][min(Int(input.frameLength) - 1, Int(Double(index) * rates.0 / rates.1))]
            output.floatChannelData![0][index] = Float(sample) / 32_768
        }
        output.frameLength = AVAudioFrameCount(count)
        return .haveData
    }
}

// --- AVSpeechSynthesis

public let AVSpeechUtteranceDefaultSpeechRate: Float = 0.5
public enum AVSpeechBoundary: Int { case immediate, word }
public enum AVSpeechSynthesisVoiceQuality: Int, Sendable { case `default` = 1, enhanced, premium }

public class AVSpeechSynthesisVoice: NSObject {
    public struct Traits: OptionSet, Sendable {
        public let rawValue: UInt
        public init(rawValue: UInt) { self.rawValue = rawValue }
        public static let isNoveltyVoice = Traits(rawValue: 1)
        public static let isPersonalVoice = Traits(rawValue: 2)
    }
    public let identifier: String
    public let name: String
    public let language: String
    public let quality: AVSpeechSynthesisVoiceQuality
    public let voiceTraits: Traits
    init(_ name: String, _ language: String, _ quality: AVSpeechSynthesisVoiceQuality, _ traits: Traits = []) {
        identifier = "com.apple.voice.\(language).\(name)"
        self.name = name
        self.language = language
        self.quality = quality
        voiceTraits = traits
    }
    public class func speechVoices() -> [AVSpeechSynthesisVoice] {
        let personal = AVSpeechSynthesisVoice("Mine", "en-US", .premium, .isPersonalVoice)
        return [.init("Samantha", "en-US", .default), .init("Anna", "de-DE", .enhanced)]
            + (ProcessInfo.processInfo.environment["STUB_PERSONAL"] == "yes" ? [personal] : [])
    }
    public convenience init?(language: String?) {
        guard let found = Self.speechVoices().first(where: { $0.language == language ?? "en-US" }) else { return nil }
        self.init(found.name, found.language, found.quality)
    }
}

public class AVSpeechUtterance: NSObject {
    public let speechString: String
    public var voice: AVSpeechSynthesisVoice?
    public var rate: Float = AVSpeechUtteranceDefaultSpeechRate
    public var pitchMultiplier: Float = 1
    public init(string: String) { speechString = string }
}

public class AVSpeechSynthesisMarker: NSObject {
    public enum Mark: Int { case phoneme, word, sentence, paragraph, bookmark }
    public let mark: Mark
    public let byteSampleOffset: Int
    public let textRange: NSRange
    init(_ mark: Mark, _ offset: Int, _ range: NSRange) {
        self.mark = mark
        byteSampleOffset = offset
        textRange = range
    }
}

public class AVSpeechSynthesizer: NSObject {
    public enum PersonalVoiceAuthorizationStatus: UInt, Sendable { case notDetermined, denied, unsupported, authorized }
    public typealias BufferCallback = @Sendable (AVAudioBuffer) -> Void
    public typealias MarkerCallback = @Sendable ([AVSpeechSynthesisMarker]) -> Void
    private var stopped = false

    public override init() {}
    @discardableResult public func stopSpeaking(at boundary: AVSpeechBoundary) -> Bool { stopped = true; return true }
    public func write(_ utterance: AVSpeechUtterance, toBufferCallback: @escaping BufferCallback) {
        write(utterance, toBufferCallback: toBufferCallback, toMarkerCallback: { _ in })
    }
    public func write(
        _ utterance: AVSpeechUtterance, toBufferCallback: @escaping BufferCallback, toMarkerCallback: @escaping MarkerCallback
    ) {
        let text = utterance.speechString as NSString
        let words = text.components(separatedBy: " ").filter { !$0.isEmpty }
        step(words, text, 0, 0, toBufferCallback, toMarkerCallback)
    }

    /// One word after the other, each in its own turn of the main run loop; a stopped one says one word more, as real ones do.
    private func step(
        _ words: [String], _ text: NSString, _ index: Int, _ from: Int, _ buffers: @escaping BufferCallback,
        _ markers: @escaping MarkerCallback
    ) {
        DispatchQueue.main.async {
            let format = AVAudioFormat(commonFormat: .pcmFormatFloat32, sampleRate: 22_050, channels: 1, interleaved: false)!
            let wasStopped = self.stopped
            if index == words.count {
                buffers(AVAudioPCMBuffer(pcmFormat: format, frameCapacity: 1)!)
                return
            }
            let range = text.range(of: words[index], options: [], range: NSRange(location: from, length: text.length - from))
            markers([AVSpeechSynthesisMarker(.word, index * 1_102 * 4, range)])
            let buffer = AVAudioPCMBuffer(pcmFormat: format, frameCapacity: 1_102)!
            buffer.frameLength = 1_102
            for sample in 0..<1_102 { buffer.floatChannelData![0][sample] = sample % 50 < 25 ? 0.5 : -0.5 }
            buffers(buffer)
            if !wasStopped { self.step(words, text, index + 1, range.location + range.length, buffers, markers) }
        }
    }

    public class func requestPersonalVoiceAuthorization(
        completionHandler: @escaping @Sendable (PersonalVoiceAuthorizationStatus) -> Void
    ) {
        let answer = ProcessInfo.processInfo.environment["STUB_PERSONAL"] ?? "unsupported"
        DispatchQueue.main.async {
            completionHandler(answer == "unsupported" ? .unsupported : answer == "yes" ? .authorized : .denied)
        }
    }
}
