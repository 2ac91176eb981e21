import type { TLSSocket } from 'node:tls'
import type { AbortOptions } from '@libp2p/interface'
import { AbstractMultiaddrConnection, type SendResult } from '@libp2p/utils'
import { pEvent } from 'p-event'
import { Uint8ArrayList } from 'uint8arraylist'
import type { Loans } from '../../loans.ts'
import type { TcpConnection } from './socket.ts'

const MAX_GATHERED_BYTES = 1024 * 1024

/**
 * What TLS carries, as libp2p wants it. It reads and writes the TLS socket, which sits on the TCP socket itself, so no
 * byte passes the streams of libp2p that the connection below was made with. Either of the two connections may be
 * closed or aborted; the other one follows.
 */
export class TlsConnection extends AbstractMultiaddrConnection {
  readonly #tcp: TcpConnection
  readonly #socket: TLSSocket
  readonly #loans: Loans | undefined
  #gathered = new Uint8ArrayList()

  /** @param loans told what of them is written */
  constructor(tcp: TcpConnection, socket: TLSSocket, loans?: Loans) {
    const { connection } = tcp
    super({
      log: connection.log.newScope('tls'),
      direction: connection.direction,
      remoteAddr: connection.remoteAddr,
      inactivityTimeout: connection.inactivityTimeout,
      maxReadBufferLength: connection.maxReadBufferLength
    })
    this.#tcp = tcp
    this.#socket = socket
    this.#loans = loans
    this.watchSocket()
    this.watchTransport()
  }

  override sendData(data: Uint8ArrayList): SendResult {
    this.#socket.cork()
    for (const part of data) this.writePart(part)
    this.#socket.uncork()
    return { sentBytes: data.byteLength, canSendMore: !this.#socket.writableNeedDrain }
  }

  override async sendClose(options?: AbortOptions): Promise<void> {
    if (this.#socket.destroyed) return
    this.#socket.destroySoon()
    await pEvent(this.#socket, 'close', options)
  }

  override sendReset(error: Error): void {
    this.#tcp.connection.abort(error)
  }

  override sendPause(): void {
    this.#socket.pause()
  }

  override sendResume(): void {
    this.#socket.resume()
  }

  private writePart(part: Uint8Array): void {
    if (!this.#loans?.isLent(part)) return void this.#socket.write(part)
    this.#socket.write(part, (error) => {
      if (!error) this.#loans?.written(part)
    })
  }

  /**
   * What came is passed on once in a turn of the event loop, all records of it together: the way through libp2p's
   * layers costs as much for 16 KiB as for a hundred times that.
   */
  private gather(record: Buffer): void {
    if (this.#gathered.byteLength === 0) setImmediate(() => this.passOn())
    this.#gathered.append(record)
    if (this.#gathered.byteLength >= MAX_GATHERED_BYTES) this.passOn()
  }

  private passOn(): void {
    if (this.#gathered.byteLength === 0) return
    const gathered = this.#gathered
    this.#gathered = new Uint8ArrayList()
    this.onData(gathered)
  }

  private watchSocket(): void {
    this.#socket.on('data', (chunk: Buffer) => this.gather(chunk))
    this.#socket.on('drain', () => this.safeDispatchEvent('drain'))
    this.#socket.on('error', (error) => this.#tcp.connection.abort(error))
    this.#socket.resume()
  }

  private watchTransport(): void {
    const { connection } = this.#tcp
    connection.addEventListener('close', ({ error, local }) => {
      this.passOn()
      if (!error) this.onTransportClosed()
      else if (local) this.abort(error)
      else this.onRemoteReset()
    })
    // By itself it would end the TCP socket below TLS, with bytes still on their way and without TLS' own farewell.
    connection.sendClose = (options) => this.close(options)
  }
}
