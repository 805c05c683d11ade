// IndexedDB as promises: tables of records that have an `id`.

export interface Table<T extends { id: string }> {
  all(): Promise<T[]>;
  put(record: T): Promise<void>;
  get(id: string): Promise<T | undefined>;
  remove(id: string): Promise<void>;
}

// Opens a database with these tables. A change of the tables needs a higher version.
export async function openTables(name: string, version: number, tables: string[]): Promise<IDBDatabase> {
  const opening = indexedDB.open(name, version);
  opening.onupgradeneeded = () => {
    for (const table of tables) {
      if (!opening.result.objectStoreNames.contains(table))
        opening.result.createObjectStore(table, { keyPath: 'id' });
    }
  };
  return result(opening);
}

export function tableOf<T extends { id: string }>(database: IDBDatabase, name: string): Table<T> {
  const store = (mode: IDBTransactionMode) => database.transaction(name, mode).objectStore(name);
  return {
    all: () => result(store('readonly').getAll()),
    get: (id) => result(store('readonly').get(id)),
    put: async (record) => void (await result(store('readwrite').put(record))),
    remove: (id) => result(store('readwrite').delete(id)),
  };
}

const result = <T>(request: IDBRequest<T>) =>
  new Promise<T>((done, failed) => {
    request.onsuccess = () => done(request.result);
    request.onerror = () => failed(request.error);
  });
