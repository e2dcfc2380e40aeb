from sketch_prompt.training.loop import train


def test_smoke(recipe):
    r = train(recipe())
    print(r)
    import os

    for d, _, f in os.walk(r.output_dir):
        print(d, f)
    print(open(r.output_dir / "log.jsonl").read()[:3000])
