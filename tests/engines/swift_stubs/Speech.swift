// A stand-in for Apple's Speech framework: the names and types that Locara's sidecars use, as Apple documents them, so that
// they can be compiled and run on Linux. It "hears" one word for each tenth of a second of sound. STUB_ASSETS=missing makes
// it lack the model's files; STUB_PERMISSION=denied or abort is what macOS does to an app that may not recognise speech.

import AVFoundation
import Foundation

func stub(_ name: String) -> String { ProcessInfo.processInfo.environment["STUB_" + name] ?? "" }

func words(_ range: Range<Int>) -> String {
    let all = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    return range.map { all[$0 % 10] }.joined(separator: " ")
}

@available(macOS 26.0, iOS 26.0, *)
public protocol SpeechModuleResult { var isFinal: Bool { get } }

@available(macOS 26.0, iOS 26.0, *)
public protocol SpeechModule: AnyObject, Sendable {
    associatedtype Results: Sendable, AsyncSequence where Results.Failure == any Error
    associatedtype Result: SpeechModuleResult, Sendable where Result == Results.Element
    var results: Results { get }
}

public protocol Publishing: AnyObject, Sendable {
    func publish(_ text: String, final: Bool)
    func end()
}

@available(macOS 26.0, iOS 26.0, *)
public struct StubResult: SpeechModuleResult, Sendable {
    public let text: AttributedString
    public let isFinal: Bool
}

@available(macOS 26.0, iOS 26.0, *)
public class StubModule: Publishing, @unchecked Sendable {
    public typealias Result = StubResult
    public let results: AsyncThrowingStream<StubResult, any Error>
    private let into: AsyncThrowingStream<StubResult, any Error>.Continuation
    init() { (results, into) = AsyncThrowingStream.makeStream(of: StubResult.self) }
    public func publish(_ text: String, final: Bool) { into.yield(.init(text: AttributedString(text), isFinal: final)) }
    public func end() { into.finish() }
    static func supported(_ locale: Locale) -> Locale? {
        ["en", "de", "ja"].contains(locale.language.languageCode?.identifier ?? "") ? locale : nil
    }
    static var all: [Locale] { [Locale(identifier: "en-US"), Locale(identifier: "de-DE"), Locale(identifier: "ja-JP")] }
}

@available(macOS 26.0, iOS 26.0, *)
final public class DictationTranscriber: StubModule, SpeechModule, @unchecked Sendable {
    public struct ContentHint: Sendable, Hashable { public static let shortForm = ContentHint() }
    public enum TranscriptionOption: CaseIterable, Sendable { case punctuation, emoji, etiquetteReplacements }
    public enum ReportingOption: CaseIterable, Sendable { case volatileResults, alternativeTranscriptions, frequentFinalization }
    public enum ResultAttributeOption: CaseIterable, Sendable { case audioTimeRange, transcriptionConfidence }
    public init(
        locale: Locale, contentHints: Set<ContentHint>, transcriptionOptions: Set<TranscriptionOption>,
        reportingOptions: Set<ReportingOption>, attributeOptions: Set<ResultAttributeOption>
    ) { super.init() }
    public static var supportedLocales: [Locale] { get async { all } }
    public static func supportedLocale(equivalentTo locale: Locale) async -> Locale? { supported(locale) }
}

@available(macOS 26.0, iOS 26.0, *)
final public class SpeechTranscriber: StubModule, SpeechModule, @unchecked Sendable {
    public enum TranscriptionOption: CaseIterable, Sendable { case etiquetteReplacements }
    public enum ReportingOption: CaseIterable, Sendable { case volatileResults, alternativeTranscriptions, fastResults }
    public enum ResultAttributeOption: CaseIterable, Sendable { case audioTimeRange, transcriptionConfidence }
    public static var isAvailable: Bool { true }
    public init(
        locale: Locale, transcriptionOptions: Set<TranscriptionOption>, reportingOptions: Set<ReportingOption>,
        attributeOptions: Set<ResultAttributeOption>
    ) { super.init() }
    public static var supportedLocales: [Locale] { get async { all } }
    public static func supportedLocale(equivalentTo locale: Locale) async -> Locale? { supported(locale) }
}

@available(macOS 26.0, iOS 26.0, *)
public struct AnalyzerInput: @unchecked Sendable {
    public let buffer: AVAudioPCMBuffer
    public init(buffer: AVAudioPCMBuffer) { self.buffer = buffer }
}

@available(macOS 26.0, iOS 26.0, *)
final public class AssetInstallationRequest: NSObject, @unchecked Sendable {
    final public func downloadAndInstall() async throws {}
}

@available(macOS 26.0, iOS 26.0, *)
final public class AssetInventory {
    public enum Status: Comparable { case unsupported, supported, downloading, installed }
    public static var maximumReservedLocales: Int { 5 }
    public static var reservedLocales: [Locale] {
        get async { ["fr-FR", "es-ES", "it-IT", "pt-BR", "nl-NL"].map { Locale(identifier: $0) } }
    }
    @discardableResult public static func reserve(locale: Locale) async throws -> Bool { true }
    @discardableResult public static func release(reservedLocale: Locale) async -> Bool { true }
    public static func status(forModules modules: [any SpeechModule]) async -> Status {
        stub("ASSETS") == "missing" ? .supported : .installed
    }
    public static func assetInstallationRequest(supporting modules: [any SpeechModule]) async throws -> AssetInstallationRequest? {
        AssetInstallationRequest()
    }
}

@available(macOS 26.0, iOS 26.0, *)
final public actor SpeechAnalyzer {
    public struct Options: Sendable, Equatable {
        public enum ModelRetention: CaseIterable, Sendable { case whileInUse, lingering, processLifetime }
        public let priority: TaskPriority
        public let modelRetention: ModelRetention
        public init(priority: TaskPriority, modelRetention: ModelRetention) {
            self.priority = priority
            self.modelRetention = modelRetention
        }
    }
    private let modules: [any SpeechModule]
    private var work: Task<Int, any Error>?

    public init(modules: [any SpeechModule], options: Options? = nil) { self.modules = modules }
    public func prepareToAnalyze(in audioFormat: AVAudioFormat?) async throws {}
    public static func bestAvailableAudioFormat(compatibleWith modules: [any SpeechModule]) async -> AVAudioFormat? {
        stub("FORMAT") == "float"
            ? AVAudioFormat(standardFormatWithSampleRate: 32_000, channels: 1)
            : AVAudioFormat(commonFormat: .pcmFormatInt16, sampleRate: 16_000, channels: 1, interleaved: true)
    }

    /// Returns at once, as the real one does. Sound in a format that was not asked for gives no text and no error.
    public func start<InputSequence>(inputSequence: InputSequence) async throws
    where InputSequence: Sendable, InputSequence: AsyncSequence, InputSequence.Element == AnalyzerInput {
        let publishing = modules.compactMap { $0 as? any Publishing }
        let wanted = await Self.bestAvailableAudioFormat(compatibleWith: modules)!
        work = Task {
            var samples = 0
            for try await input in inputSequence where input.buffer.format.commonFormat == wanted.commonFormat {
                let before = samples / 1_600
                samples += Int(input.buffer.frameLength) * 16_000 / Int(wanted.sampleRate)
                if samples / 1_600 != before { publishing.forEach { $0.publish(words(0..<samples / 1_600), final: false) } }
            }
            return samples / 1_600
        }
    }

    public func finalizeAndFinishThroughEndOfInput() async throws {
        let count = try await work?.value ?? 0
        for module in modules.compactMap({ $0 as? any Publishing }) {
            if count > 0 { module.publish(words(0..<count), final: true) }
            module.end()
        }
    }

    public func cancelAndFinishNow() async {
        work?.cancel()
        modules.compactMap { $0 as? any Publishing }.forEach { $0.end() }
    }
}

// --- SFSpeechRecognizer

public enum SFSpeechRecognizerAuthorizationStatus: Int, Sendable { case notDetermined, denied, restricted, authorized }
public enum SFSpeechRecognitionTaskHint: Int { case unspecified, dictation, search, confirmation }

public class SFTranscription: NSObject {
    public let formattedString: String
    init(_ text: String) { formattedString = text }
}

public class SFSpeechRecognitionResult: NSObject {
    public let bestTranscription: SFTranscription
    public let isFinal: Bool
    init(_ text: String, _ final: Bool) {
        bestTranscription = SFTranscription(text)
        isFinal = final
    }
}

public class SFSpeechRecognitionRequest: NSObject {
    public var shouldReportPartialResults = true
    public var requiresOnDeviceRecognition = false
    public var addsPunctuation = false
    public var taskHint = SFSpeechRecognitionTaskHint.unspecified
}

public class SFSpeechAudioBufferRecognitionRequest: SFSpeechRecognitionRequest {
    var hear: (Int, Bool) -> Void = { _, _ in }
    public func append(_ audioPCMBuffer: AVAudioPCMBuffer) { hear(Int(audioPCMBuffer.frameLength), false) }
    public func endAudio() { hear(0, true) }
}

public class SFSpeechRecognitionTask: NSObject {
    var cancelled = false
    public func cancel() { cancelled = true }
}

public class SFSpeechRecognizer: NSObject {
    public var queue = OperationQueue.main
    public var supportsOnDeviceRecognition: Bool { stub("ASSETS") != "missing" }
    public var isAvailable: Bool { true }
    public init?(locale: Locale) {
        if StubModule.supported(locale) == nil { return nil }
    }
    public class func authorizationStatus() -> SFSpeechRecognizerAuthorizationStatus { .notDetermined }
    public class func requestAuthorization(_ handler: @escaping @Sendable (SFSpeechRecognizerAuthorizationStatus) -> Void) {
        if stub("PERMISSION") == "abort" { abort() }
        let given = stub("PERMISSION") == "denied" ? SFSpeechRecognizerAuthorizationStatus.denied : .authorized
        DispatchQueue.main.async { handler(given) }
    }

    public func recognitionTask(
        with request: SFSpeechRecognitionRequest, resultHandler: @escaping (SFSpeechRecognitionResult?, (any Error)?) -> Void
    ) -> SFSpeechRecognitionTask {
        let task = SFSpeechRecognitionTask()
        var samples = 0
        (request as? SFSpeechAudioBufferRecognitionRequest)?.hear = { [queue] count, ended in
            samples += count
            let text = words(0..<samples / 1_600)
            queue.addOperation {
                if task.cancelled { return }
                if ended && text.isEmpty {
                    resultHandler(nil, NSError(domain: "kAFAssistantErrorDomain", code: 1110))
                } else if !text.isEmpty {
                    resultHandler(SFSpeechRecognitionResult(text, ended), nil)
                }
            }
        }
        return task
    }
}
