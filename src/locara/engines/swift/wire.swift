// The sidecar's end of the wire that docs/native.md describes: frames come in, JSON lines go out.
// What may live here: this wire. No speech.
//
// Experimental: nobody has run this on a Mac. It is compiled and run on Linux, against stand-ins for Apple's frameworks.

import Foundation

/// Lines of JSON, one object each, from any thread. Whatever else a framework prints goes to the error output.
final class Wire: @unchecked Sendable {
    private let lock = NSLock()
    private let output: Int32

    init() {
        output = dup(1)
        dup2(2, 1)
        signal(SIGINT, SIG_IGN)  // a terminal's Ctrl-C is for the parent; it ends us by closing our input
        signal(SIGPIPE, SIG_IGN)
    }

    /// Waits while the parent does not read: that is how it slows us down.
    func say(_ message: [String: Any]) {
        guard var line = try? JSONSerialization.data(withJSONObject: message) else { return }
        line.append(0x0A)
        lock.lock()
        defer { lock.unlock() }
        line.withUnsafeBytes { bytes in
            var at = 0
            while at < bytes.count {
                let written = write(output, bytes.baseAddress! + at, bytes.count - at)
                if written > 0 {
                    at += written
                } else if errno != EINTR {
                    _exit(0)  // the parent has gone; there is nobody left to work for
                }
            }
        }
    }

    /// Says why this program cannot work at all, and ends it.
    func refuse(_ message: String, hint: String) -> Never {
        say(["type": "error", "fatal": true, "message": message, "hint": hint])
        _exit(1)
    }
}

/// What the parent sends.
enum Frame: Sendable {
    case sound(Data)  // 16-bit little-endian mono
    case begin(turn: Int)
    case settle(turn: Int, segment: Int)
    case drop(turn: Int)
    case speak(id: Int, text: String)
    case stop(id: Int)
}

/// The next frame, nil at the end of the input. Blocks. Frames of kinds and orders that are not known are passed over.
func nextFrame() -> Frame? {
    while let prefix = exactly(5) {
        let head = [UInt8](prefix)
        let size = (0..<4).reduce(0) { $0 | Int(head[1 + $1]) << (8 * $1) }
        guard size <= 1 << 26, let payload = exactly(size) else { return nil }
        if head[0] == UInt8(ascii: "a") { return .sound(payload) }
        if head[0] == UInt8(ascii: "j"), let order = understood(payload) { return order }
    }
    return nil
}

private func understood(_ payload: Data) -> Frame? {
    guard let order = (try? JSONSerialization.jsonObject(with: payload)) as? [String: Any] else { return nil }
    let turn = order["turn"] as? Int ?? 0
    let id = order["id"] as? Int ?? 0
    switch order["op"] as? String {
    case "begin": return .begin(turn: turn)
    case "settle": return .settle(turn: turn, segment: order["segment"] as? Int ?? 0)
    case "drop": return .drop(turn: turn)
    case "speak": return .speak(id: id, text: order["text"] as? String ?? "")
    case "stop": return .stop(id: id)
    default: return nil
    }
}

private func exactly(_ size: Int) -> Data? {
    var data = Data(count: size)
    var at = 0
    while at < size {
        let got = data.withUnsafeMutableBytes { read(0, $0.baseAddress! + at, size - at) }
        if got > 0 {
            at += got
        } else if got == 0 || errno != EINTR {
            return nil
        }
    }
    return data
}

/// Frames as an asynchronous sequence. At most `backlog` wait: then nothing more is read, and the parent sees that.
/// The stream itself must not have a limit, because a limited AsyncStream drops what does not fit without a word.
func frames(backlog: Int = 512) -> (stream: AsyncStream<Frame>, taken: DispatchSemaphore) {
    let space = DispatchSemaphore(value: backlog)
    let (stream, into) = AsyncStream.makeStream(of: Frame.self)
    Thread.detachNewThread {
        while let frame = nextFrame() {
            space.wait()
            into.yield(frame)
        }
        _exit(0)  // at once: there is nobody left to work for
    }
    return (stream, space)
}

/// `--name value` and `--name` from the command line.
struct Arguments {
    private var values: [String: String] = [:]

    init(_ words: [String] = CommandLine.arguments) {
        var index = 1
        while index < words.count {
            let name = words[index]
            index += 1
            guard name.hasPrefix("--") else { continue }
            if index < words.count, !words[index].hasPrefix("--") {
                values[name] = words[index]
                index += 1
            } else {
                values[name] = ""
            }
        }
    }

    subscript(name: String) -> String? { values["--" + name] }
    func has(_ name: String) -> Bool { values["--" + name] != nil }
}

/// The answer of a person to a question of the system. The main run loop runs meanwhile: the answer may come on it.
final class Answer<Value>: @unchecked Sendable {
    private let lock = NSLock()
    private var value: Value?

    func give(_ value: Value) {
        lock.lock()
        self.value = value
        lock.unlock()
    }

    func wait(seconds: Double) -> Value? {
        let until = Date(timeIntervalSinceNow: seconds)
        while Date() < until {
            lock.lock()
            let value = self.value
            lock.unlock()
            if let value { return value }
            RunLoop.main.run(until: Date(timeIntervalSinceNow: 0.05))
            usleep(10_000)  // a run loop with nothing in it returns at once
        }
        return nil
    }
}
