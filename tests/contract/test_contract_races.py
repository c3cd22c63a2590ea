"""Races: parallel parts, completions against aborts, and writers of one key."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from s3shim.conditions import NO_CONDITIONS, Conditions, ETagList
from s3shim.copying import Copy
from s3shim.errors import Code, S3Error
from s3shim.model import BucketInfo, ListQuery, ObjectInfo, ObjectRef, UploadQuery
from tests.contract.bodies import code_of, digests_of, get, pattern, put
from tests.contract.uploads import begin, complete, etag_of, put_parts, upload


def race(calls):
    """Run the calls at once; return their outcomes in order, S3 errors by their codes."""
    barrier = Barrier(len(calls))

    def run(call):
        barrier.wait()
        try:
            return call()
        except S3Error as error:
            return error.code

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def test_16_parallel_parts_of_one_upload_all_persist(multipart_backend):
    ref = begin(multipart_backend)
    datas = [pattern(500 + number * 600, number) for number in range(16)]
    parts = race([lambda n=n, d=d: upload(multipart_backend, ref, n, d) for n, d in enumerate(datas, 1)])
    assert multipart_backend.list_parts(ref, 0, 1000)[1] == parts
    info = complete(multipart_backend, ref, parts)
    assert info.etag == etag_of(datas)
    assert get(multipart_backend, "key") == b"".join(datas)


def test_of_16_racing_uploads_of_one_part_one_counts(multipart_backend):
    for datas in ([pattern(5000, n) for n in range(16)], [pattern(50, n) for n in range(16)]):
        ref = begin(multipart_backend)
        parts = race([lambda ref=ref, d=d: upload(multipart_backend, ref, 1, d) for d in datas])
        (last,) = multipart_backend.list_parts(ref, 0, 1000)[1]
        assert last in parts
        complete(multipart_backend, ref, [last])
        data = get(multipart_backend, "key")
        assert data in datas
        assert digests_of(data).md5 == last.etag


def test_racing_completions_and_aborts_have_one_outcome(multipart_backend):
    for round_number in range(30):
        key = f"key{round_number}"
        ref = begin(multipart_backend, key)
        datas = [pattern(2500, round_number), pattern(30, round_number + 1)]
        parts = [upload(multipart_backend, ref, n, data) for n, data in enumerate(datas, 1)]
        kinds = [
            ("whole", lambda ref=ref, parts=parts: complete(multipart_backend, ref, parts)),
            ("abort", lambda ref=ref: multipart_backend.abort_multipart_upload(ref)),
            ("first", lambda ref=ref, parts=parts: complete(multipart_backend, ref, parts[:1])),
        ]
        chosen = [kinds[(round_number + n) % 3] for n in range(2 + round_number % 7)]
        outcomes = race([call for _, call in chosen])
        told = {}
        for (kind, _), outcome in zip(chosen, outcomes, strict=True):
            told.setdefault(kind, []).append(outcome)
        winners = [kind for kind, seen in told.items() if seen != [Code.NoSuchUpload] * len(seen)]
        assert len(winners) == 1, told
        seen = told[winners[0]]
        if winners == ["abort"]:
            assert sorted(map(str, seen)) == sorted(map(str, [None] + [Code.NoSuchUpload] * (len(seen) - 1)))
            assert code_of(get, multipart_backend, key) is Code.NoSuchKey
        else:
            expected = datas if winners == ["whole"] else datas[:1]
            info = multipart_backend.head_object(ObjectRef("bucket", key), NO_CONDITIONS)
            assert seen == [info] * len(seen)
            assert info.etag == etag_of(expected)
            assert get(multipart_backend, key) == b"".join(expected)
        assert code_of(multipart_backend.list_parts, ref, 0, 1) is Code.NoSuchUpload
    assert multipart_backend.list_multipart_uploads("bucket", UploadQuery()).items == []


def test_a_part_racing_with_a_completion_is_in_it_or_refused(multipart_backend):
    for round_number in range(15):
        key = f"key{round_number}"
        ref = begin(multipart_backend, key)
        old = upload(multipart_backend, ref, 1, pattern(2000, 1))
        calls = [
            lambda ref=ref, old=old: complete(multipart_backend, ref, [old]),
            lambda ref=ref: upload(multipart_backend, ref, 1, pattern(3000, 2)),
            lambda ref=ref: upload(multipart_backend, ref, 2, pattern(3000, 3)),
        ]
        done, new, unlisted = race(calls)
        if done is Code.InvalidPart:
            assert multipart_backend.list_parts(ref, 0, 1000)[1] == [new, unlisted]
            complete(multipart_backend, ref, [new])
            assert get(multipart_backend, key) == pattern(3000, 2)
        else:
            assert isinstance(done, ObjectInfo)
            assert new is Code.NoSuchUpload
            assert get(multipart_backend, key) == pattern(2000, 1)


def test_of_racing_completions_under_if_none_match_one_makes_the_key(multipart_backend):
    new_only = Conditions(if_none_match=ETagList(any=True))
    for round_number in range(10):
        key = f"key{round_number}"
        refs = [begin(multipart_backend, key) for _ in range(4)]
        parts = [upload(multipart_backend, ref, 1, pattern(2000, n)) for n, ref in enumerate(refs)]
        outcomes = race(
            [
                lambda ref=ref, part=part: complete(multipart_backend, ref, [part], conditions=new_only)
                for ref, part in zip(refs, parts, strict=True)
            ]
        )
        winners = [n for n, outcome in enumerate(outcomes) if isinstance(outcome, ObjectInfo)]
        assert len(winners) == 1
        assert outcomes.count(Code.PreconditionFailed) == 3
        assert get(multipart_backend, key) == pattern(2000, winners[0])


def test_20_parallel_puts_and_copies_of_one_key_end_in_one_whole_body(backend):
    sizes = [10, 900, 5000, 9000, 20_000]
    sources = {f"source{seed}": pattern(size, seed) for seed, size in enumerate(sizes)}
    for key, data in sources.items():
        put(backend, key, data)
    puts = [pattern(size, 100 + n) for n, size in enumerate(sizes * 2)]
    calls = [lambda data=data: put(backend, "key", data) for data in puts]
    calls += [
        lambda key=key: backend.copy_object(
            Copy(ObjectRef("bucket", key)), ObjectRef("bucket", "key"), NO_CONDITIONS
        )
        for key in [*sources, *sources]
    ]
    for _ in range(3):
        infos = race(calls)
        info = backend.head_object(ObjectRef("bucket", "key"), NO_CONDITIONS)
        data = get(backend, "key")
        assert info in infos
        assert data in {*puts, *sources.values()}
        assert (info.size, info.etag) == (len(data), digests_of(data).md5)
    backend.close()
    backend.start()
    assert get(backend, "key") == data
    assert {key: get(backend, key) for key in sources} == sources
    listed = [found.key for found in backend.list_objects("bucket", ListQuery()).items]
    assert listed == sorted(["key", *sources])


def test_copies_of_a_key_that_is_overwritten_are_whole(multipart_backend):
    bodies = [[pattern(3000, n), pattern(6000, n + 1)] for n in range(3)]
    put_parts(multipart_backend, "key", bodies[0])
    target = [ObjectRef("bucket", f"copy{n}") for n in range(4)]
    source = Copy(ObjectRef("bucket", "key"))
    for _ in range(5):
        calls = [lambda datas=datas: put_parts(multipart_backend, "key", datas) for datas in bodies]
        calls += [lambda ref=ref: multipart_backend.copy_object(source, ref, NO_CONDITIONS) for ref in target]
        infos = race(calls)[len(bodies) :]
        for info in infos:
            data = get(multipart_backend, info.key)
            assert info.etag in {etag_of(datas) for datas in bodies if b"".join(datas) == data}


def test_puts_into_a_bucket_that_is_deleted_and_made_again_are_there_or_refused(backend):
    for round_number in range(60):

        def remake():
            backend.delete_bucket("bucket")
            backend.create_bucket(BucketInfo("bucket", "main", 1))

        puts = [
            lambda n=n, r=round_number: put(backend, f"{n}", bytes([n]) * (10 if r % 2 else 5000))
            for n in range(8)
        ]
        calls = [*puts[: round_number % 9], remake, *puts[round_number % 9 :]]
        outcomes = race(calls)
        deleted = outcomes.pop(round_number % 9)
        acknowledged = [f"{n}" for n, outcome in enumerate(outcomes) if isinstance(outcome, ObjectInfo)]
        assert outcomes.count(Code.NoSuchBucket) == 8 - len(acknowledged)
        assert [info.key for info in backend.list_objects("bucket", ListQuery()).items] == acknowledged
        assert deleted in (None, Code.BucketNotEmpty)
        for key in acknowledged:
            assert len(get(backend, key)) in (10, 5000)
            backend.delete_object(ObjectRef("bucket", key), NO_CONDITIONS)


def test_a_counter_under_if_match_is_exact(backend):
    put(backend, "count", b"0")

    def count():
        done = 0
        while done < 20:
            etag = backend.head_object(ObjectRef("bucket", "count"), NO_CONDITIONS).etag
            value = get(backend, "count", conditions=NO_CONDITIONS)
            if digests_of(value).md5 != etag:
                continue
            conditions = Conditions(if_match=ETagList(frozenset({etag})))
            code = code_of(put, backend, "count", b"%d" % (int(value) + 1), conditions=conditions)
            assert code in (None, Code.PreconditionFailed)
            done += code is None

    assert race([count] * 8) == [None] * 8
    assert get(backend, "count") == b"160"
