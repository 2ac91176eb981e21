import { mirroredRepository, type Repository, registryHostOf } from '@layermesh/oci'
import type { MirrorQuestion, RegistryMirrors } from '../interfaces.ts'

/** Everything elsewhere is mirrored, and Docker Hub is the registry for names without one. */
export class FakeMirrors implements RegistryMirrors {
  readonly questions: MirrorQuestion[] = []
  /** What the mesh has of its own. */
  readonly own = new Set<string>()
  /** Repositories elsewhere of which nothing was pulled yet. */
  readonly neverPulled = new Set<string>()
  /** Whom other registries refuse something. */
  admitted: (question: MirrorQuestion) => boolean = () => true

  hostOf(repository: Repository): string | undefined {
    return registryHostOf(repository)
  }

  alternative(own: Repository): { repository: Repository; always: boolean } | undefined {
    if (own.startsWith('named/')) return undefined
    return { repository: mirroredRepository('docker.io', own), always: own.startsWith('library/') }
  }

  async hasOwn(own: Repository): Promise<boolean> {
    return this.own.has(own)
  }

  async wasPulled(repository: Repository): Promise<boolean> {
    return !this.neverPulled.has(repository)
  }

  async admits(question: MirrorQuestion): Promise<boolean> {
    this.questions.push(question)
    return this.admitted(question)
  }
}
